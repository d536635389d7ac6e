-- What the cache is worth right now, in one row, for people and for monitoring. The verdict leads: page, summary and DAGs show this one.
create or replace function entity_stats.status()
returns table (
    verdict text,
    explanation text,
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
        case
            when b.status = 'backfilling' then 'building'
            when b.status <> 'ready' then b.status
            when o.periods is not null then 'stale'
            when v.failing is not null then 'suspect'
            else 'right'
        end as verdict,
        case
            when b.status = 'empty' then coalesce(b.reason, 'nothing is built yet: call entity_stats.backfill()')
            when b.status = 'backfilling'
                then format('%s of %s slices are done; until all are, the views answer', h.done, h.slices)
            when b.status <> 'ready' then b.reason
            when o.ahead
                then format('%s begin later than they should: call entity_stats.backfill(rebuild => true)', o.periods)
            when o.periods is not null and b.rebuilding
                then format('%s were last aged at %s: they stand still until the rebuild has finished', o.periods, o.aged)
            when o.periods is not null
                then format('%s were last aged at %s: run entity_stats_daily_cleanup, or call entity_stats.age_windows()', o.periods, o.aged)
            when v.failing is not null
                then concat_ws(
                    '; ', v.failing,
                    coalesce(
                        'a ' || r.operation || ' is running, which repairs what it can',
                        format('nothing is repairing them: call entity_stats.repair(%s)', v.run)
                    )
                )
            when v.claims > 0 then 'every claim that was checked holds'
            else 'no claim has been checked yet'
        end as explanation,
        b.*
    from (
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
            (select coalesce(sum(p.killmails), 0)::bigint from entity_stats.pending_parts() as p) as pending
        from (values (true)) as one (single)
        left join entity_stats.state as s on one.single = s.single
        left join lateral (
            select format('%s (noted at %s): call entity_stats.backfill()', v.reason, v.at) as reason
            from public.entity_stats_invalidation as v
            order by v.at
            limit 1
        ) as i on true
        cross join (select entity_stats.source_change() as change) as c
    ) as b
    cross join (
        select
            string_agg(w.period, ', ' order by w.bit desc) as periods,
            bool_or(d.behind < interval '0') as ahead,
            to_char(min(w.cutoff + w.days * interval '24 hours') at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') as aged
        from entity_stats.overdue_windows() as d
        inner join entity_stats.time_window as w on d.period = w.period
    ) as o
    cross join (
        select
            count(*) filter (where n.severity <> 'warn') as claims,
            max(n.run) filter (where n.offending > 0 and n.severity <> 'warn') as run,
            string_agg(
                format('%s (%s %s)', n.claim, n.offending, case when n.offending = 1 then 'row' else 'rows' end), ', ' order by n.claim
            ) filter (where n.offending > 0 and n.severity <> 'warn' and n.claim <> 'cache_is_ready') as failing
        from entity_stats.verification() as n
    ) as v
    cross join (select count(*) as slices, count(p.snapshot) as done from entity_stats.phase as p) as h
    left join lateral (
        select e.operation
        from entity_stats.run as e
        where
            e."finishedAt" is null
            and e."startedAt" > now() - interval '6 hours'
            and e.operation in ('cleanup', 'verify', 'recalculation')
        order by e.run desc
        limit 1
    ) as r on true;
end;

comment on function entity_stats.status() is
'Verdict (right; suspect: claims do not hold; stale: killmails changed unseen, or windows are overdue by the clock; building; empty) and its explanation; status (empty, backfilling, ready; stale with a reason that says what to do), times of the build, cutoffs, pending facts.';
