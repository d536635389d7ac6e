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
        case when s.status <> 'empty' and coalesce(c.change, i.reason) is not null then 'stale' else coalesce(s.status, 'empty') end as status,
        coalesce(c.change, i.reason, case when s.status is null then 'the row of entity_stats.state is missing: run deploy.sql' end) as reason,
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
        select format('%s (noted at %s): call entity_stats.backfill()', v.reason, v.at) as reason
        from entity_stats.invalidation as v
        order by v.at
        limit 1
    ) as i on true
    cross join (select entity_stats.source_change() as change) as c;
end;

comment on function entity_stats.status() is
'Status (empty, backfilling, ready; stale with a reason, in one sentence that says what to do, when the cache or its source is not to be believed), times of the build, cutoffs, and how many ledger facts wait for a fold.';
