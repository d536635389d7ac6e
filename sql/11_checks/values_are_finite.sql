create view entity_stats.values_are_finite as
select
    c."entityId",
    c."entityType",
    w.period,
    c."iskDestroyed",
    c."iskLost"
from entity_stats.cached() as c
inner join entity_stats.time_window as w on c.periods = w.bit
where
    public.is_stats_cache_populated()
    and (c."iskDestroyed" in ('NaN', 'Infinity', '-Infinity') or c."iskLost" in ('NaN', 'Infinity', '-Infinity'));

comment on view entity_stats.values_are_finite is
'fail: Every sum of ISK in the cache is a finite number: not NaN, not infinite.

What to do: killmails cannot cause this (values that are not finite count as 0), so something other than the cache itself has
written to public.entity_stats_cache. Recalculation repairs the rows: select entity_stats.recalculate(id, type), with the ids
listed.';
