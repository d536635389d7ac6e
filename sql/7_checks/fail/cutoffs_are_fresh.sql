-- Every window has been aged in the last 26 hours, by the clock, and none begins too late: "14d" are the 14 days before the last
-- cleanup and everything since.
--
-- Only a run that was given an as_of is measured by that. During a rebuild the windows stand still, and this claim may fail
-- when it takes a night.
--
-- What to do: see why entity_stats_daily_cleanup does not run or finish (paused? failed? no scheduler?), then run it, or
-- call entity_stats.age_windows(): it catches up whatever was missed.
select o.*
from (
    select coalesce(max(r."asOf"), now()) as as_of
    from (
        select
            l."asOf",
            l."finishedAt",
            l.detail
        from entity_stats.run as l
        where l."startedAt" > now() - interval '1 day' and not l.detail ? 'backend'
        order by l.run desc
        limit 1
    ) as r
    where r."finishedAt" is null and r.detail ->> 'asOf' is not null
) as t
cross join lateral entity_stats.overdue_windows(t.as_of) as o
where public.is_stats_cache_populated();
