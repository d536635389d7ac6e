-- What the cache is worth right now, in one row, for people and for the read API.
create or replace function entity_stats.status()
returns table (
    status text,
    reason text,
    "asOf" timestamptz,
    "startedAt" timestamptz,
    "readyAt" timestamptz,
    rebuilding boolean,
    "cutoff90d" timestamptz,
    "cutoff30d" timestamptz,
    "cutoff14d" timestamptz,
    pending bigint
)
language sql stable
begin atomic
    select
        case when i.reason is null then coalesce(s.status, 'empty') else 'empty' end as status,
        coalesce(i.reason, case when s.status is null then 'the row of entity_stats.state is missing: run deploy.sql' end) as reason,
        s."asOf",
        s."startedAt",
        s."readyAt",
        coalesce(s.status = 'ready' and s.retaining, false) as rebuilding,
        (select w.cutoff from entity_stats.time_window as w where w.period = '90d') as "cutoff90d",
        (select w.cutoff from entity_stats.time_window as w where w.period = '30d') as "cutoff30d",
        (select w.cutoff from entity_stats.time_window as w where w.period = '14d') as "cutoff14d",
        (select coalesce(sum(p.killmails), 0)::bigint from entity_stats.pending_facts() as p) as pending
    from (values (true)) as one (single)
    left join entity_stats.state as s on one.single = s.single
    left join lateral (
        select v.reason || ' at ' || v.at as reason
        from entity_stats.invalidation as v
        order by v.at
        limit 1
    ) as i on true;
end;

comment on function entity_stats.status() is
'Status (empty, backfilling, ready; empty with a reason after a TRUNCATE or without its row), times of the build, cutoffs, and how many ledger facts wait for a fold.';
