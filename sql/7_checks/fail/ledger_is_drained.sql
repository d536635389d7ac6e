-- No fact has been pending for more than two hours since it was captured.
--
-- Pending facts (of transactions with more than 500 killmails, of other isolation levels, of sessions with entity_stats.fold =
-- 'deferred', of faults) are folded by entity_stats_fold_pending every five minutes, and by the cleanup. Until then the cached
-- figures lag behind killmails by exactly these facts.
--
-- What to do: check that entity_stats_fold_pending runs, or call entity_stats.fold_pending() and read its error. The column reason
-- says why a transaction did not fold its own facts; many with 55P03 (lock_not_available) mean that a session holds rows of the
-- cache or entity_stats.gate for seconds: look for it in pg_locks.
select
    b.reason,
    b.oldest as since,
    b.transactions,
    b.killmails
from entity_stats.backlog() as b
where public.is_stats_cache_populated() and b.oldest < now() - interval '2 hours';
