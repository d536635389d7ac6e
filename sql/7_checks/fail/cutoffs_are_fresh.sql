-- Every window has been aged in the last 26 hours, and none begins too late: "14d" are the 14 days before the last cleanup and
-- everything since.
--
-- A run with an as_of of its own is measured by that. During a rebuild the windows stand still, and this claim may fail
-- when it takes a night.
--
-- What to do: see why entity_stats_daily_cleanup does not run or finish (paused? failed? no scheduler?), then run it, or
-- call entity_stats.age_windows(): it catches up whatever was missed.
select
    w.period,
    w.cutoff,
    entity_stats.cutoff_at(t.as_of, w.days) - w.cutoff as behind
from entity_stats.time_window as w
cross join (
    select coalesce(max(r."asOf"), now()) as as_of
    from (
        select l."asOf", l."finishedAt"
        from entity_stats.run as l
        where l."startedAt" > now() - interval '1 day' and not l.detail ? 'backend'
        order by l.run desc
        limit 1
    ) as r
    where r."finishedAt" is null
) as t
where
    public.is_stats_cache_populated()
    and case
        when w.days is null then w.cutoff <> '-infinity'
        else
            w.cutoff < entity_stats.cutoff_at(t.as_of, w.days) - interval '26 hours'
            or w.cutoff > entity_stats.cutoff_at(now(), w.days)
    end;
