-- Every entity with 10 kills or more in a period is filed for the leaderboards, as high as its row in the cache says, and nobody
-- else is.
--
-- A leaderboard reads that file from the top and stops where the rest cannot matter: it would miss an entity that is filed too
-- low, or not at all. The figures that it shows are the cache's own.
--
-- What to do: as for counters_are_possible, or somebody has written to entity_stats.ranked; recalculation files the entities
-- again.
select m."entityId", m."entityType", w.period, m.rank, m."actualRank"
from entity_stats.misfiled() as m
left join entity_stats.time_window as w on m.periods = w.bit
where public.is_stats_cache_populated();
