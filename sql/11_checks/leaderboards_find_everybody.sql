create view entity_stats.leaderboards_find_everybody as
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
inner join entity_stats.mark as m on c."entityType" = m."entityType" and o.list = m.list
inner join entity_stats.time_window as w on m.periods = w.bit
where
    public.is_stats_cache_populated()
    and m.complete
    and c.leads & o.list = 0;

comment on view entity_stats.leaderboards_find_everybody is
'fail: Every entity whose figure is above the mark of a leaderboard''s list is on that list.

A leaderboard reads only the entities on its list, as long as they are above the mark, so it would miss one that is not on the
list. The figures that it shows are the cache''s own. An entity on a list and below its mark does no harm.

What to do: call entity_stats.mark_leaders(): it makes all lists again. Something other than the cache itself has written to
public.entity_stats_cache; find out who (only entity_stats_operator may).';
