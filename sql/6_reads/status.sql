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
        case when i.reason is null then s.status else 'empty' end as status,
        i.reason,
        s."asOf",
        s."startedAt",
        s."readyAt",
        s.status = 'ready' and s.retaining as rebuilding,
        (select w.cutoff from entity_stats.time_window as w where w.period = '90d') as "cutoff90d",
        (select w.cutoff from entity_stats.time_window as w where w.period = '30d') as "cutoff30d",
        (select w.cutoff from entity_stats.time_window as w where w.period = '14d') as "cutoff14d",
        (select count(*) from entity_stats.ledger as l where not l.folded) as pending
    from entity_stats.state as s
    left join lateral (
        select v.reason || ' at ' || v.at as reason
        from entity_stats.invalidation as v
        order by v.at
        limit 1
    ) as i on true;
end;

comment on function entity_stats.status() is
'Status (empty, backfilling, ready; empty with a reason after a TRUNCATE), times of the build, cutoffs, and how many ledger facts wait for a fold.';
