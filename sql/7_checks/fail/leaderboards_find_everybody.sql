-- Every entity that is over a mark of a list of leaders is on that list.
--
-- A leaderboard reads the rows of who is on its list, and looks no further when they are over the mark: it would miss an entity that is
-- not on it. The figures that it shows are the cache's own; who is on a list and below its marks does no harm.
--
-- What to do: somebody or something has written to entity_stats.leader or public.entity_stats_cache but the cache itself; find
-- out who (no role but entity_stats_operator may). Recalculation files the entities
-- again, and call entity_stats.mark_leaders() files all.
select
    c."entityId",
    c."entityType",
    w.period,
    m.kills as "leastKills",
    m.isk as "leastIsk",
    m.solo as "leastSolo",
    m.efficiency as "leastEfficiency"
from public.entity_stats_cache as c
cross join lateral entity_stats.over_mark(c) as o
inner join entity_stats.mark as m on o.list = m.list
inner join entity_stats.time_window as w on m.periods = w.bit
where
    public.is_stats_cache_populated()
    and m.complete
    and not exists (select 1 from entity_stats.leader as l where l.list = o.list and l."entityId" = o."entityId");
