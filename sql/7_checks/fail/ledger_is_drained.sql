-- No fact has been pending for more than two hours, counted from when it was captured.
--
-- What is pending (transactions of more than 500 killmails, other isolation levels, sessions with entity_stats.fold = 'deferred',
-- faults) is folded by entity_stats_fold_pending every five minutes and by the cleanup. Until then the cached figures lag behind
-- killmails by exactly that.
--
-- What to do: see that entity_stats_fold_pending runs, or call entity_stats.fold_pending() and read its error. The reason says why
-- a transaction did not fold for itself; many with 55P03 (lock_not_available) mean that somebody holds rows of the cache or
-- entity_stats.gate for seconds: look in pg_locks. A load that took longer than two hours shows here until it is folded.
select
    b.reason,
    b.oldest as since,
    b.transactions,
    b.killmails
from entity_stats.backlog() as b
where public.is_stats_cache_populated() and b.oldest < now() - interval '2 hours';
