create view entity_stats.cutoffs_are_fresh as
select o.*
from (
    select coalesce(max(r."asOf"), now()) as as_of
    from (
        select l.*
        from entity_stats.run as l
        where l."startedAt" > now() - interval '1 day' and l.backend is null
        order by l.run desc
        limit 1
    ) as r
    where r."finishedAt" is null and r."asOfGiven"
) as t
cross join lateral entity_stats.overdue_windows(t.as_of) as o
where public.is_stats_cache_populated();

comment on view entity_stats.cutoffs_are_fresh is
'fail: Every window has been aged in the last 26 hours, by the clock, and none begins too late: "14d" means the 14 days before the
last cleanup and everything since.

A run with an as_of is checked against that time instead. During a rebuild the windows do not move, so this claim may fail when
a rebuild takes more than a day.

What to do: call entity_stats.age_windows(): it catches up on missed nights. Then find out why entity_stats_daily_cleanup does not
run or finish: is it paused (airflow dags unpause entity_stats_daily_cleanup), did it fail, is there no scheduler?';
