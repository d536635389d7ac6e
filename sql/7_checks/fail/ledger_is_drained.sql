-- No fact has been pending for more than two hours, counted from when its transaction had first to leave it to others.
--
-- What is pending (transactions of more than 500 killmails, other isolation levels, sessions with entity_stats.fold = 'deferred',
-- faults) is folded by the next commits, by entity_stats_fold_pending every five minutes and by the cleanup. Until then the
-- cached figures lag behind killmails by exactly that.
--
-- What to do: see that entity_stats_fold_pending runs, or call entity_stats.fold_pending() and read its error. The reason says why
-- a transaction did not fold for itself; many with lock_not_available mean that somebody holds rows of the cache or
-- entity_stats.gate for seconds: look in pg_locks. A load that took longer than two hours shows here until it is folded.
select
    p.reason,
    min(p."parkedAt") as since,
    count(distinct p.xid) as transactions,
    count(*) as facts
from entity_stats.parked as p
inner join entity_stats.ledger as l on p.xid = l.xid
where
    public.is_stats_cache_populated()
    and not l.folded
    and p."parkedAt" < now() - interval '2 hours'
group by p.reason;
