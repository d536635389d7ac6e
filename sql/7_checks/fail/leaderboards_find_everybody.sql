-- Every entity with 10 kills or more in a period is filed for the leaderboards, as high as its row in the cache says, and nobody
-- else is.
--
-- A leaderboard reads that file from the top and stops where the rest cannot matter: it would miss an entity that is filed too
-- low, or not at all. The figures that it shows are the cache's own.
--
-- What to do: as for counters_are_possible, or somebody has written to entity_stats.ranked; recalculation files the entities
-- again.
select
    coalesce(c."entityId", r."entityId") as "entityId",
    coalesce(c."entityType", r."entityType") as "entityType",
    w.period,
    r.rank,
    c.rank as "actualRank"
from (select n.* from entity_stats.ranks() as n where n.rank > 0) as c
full join entity_stats.ranked as r on c."entityId" = r."entityId" and c."entityType" = r."entityType" and c.periods = r.periods
left join entity_stats.time_window as w on w.bit = coalesce(c.periods, r.periods)
where public.is_stats_cache_populated() and r.rank is distinct from c.rank;
