-- Fewer than 100,000 facts are pending.
--
-- A bulk load leaves one per killmail. Until they are folded the cached figures lag behind killmails by exactly that, and
-- verification has to look at each of them.
--
-- What to do: call entity_stats.fold_pending(); several sessions may run it at once.
select
    p.pending,
    (select min(k."parkedAt") from entity_stats.parked as k) as since
from (
    select count(*) as pending
    from entity_stats.ledger as l
    where not l.folded
) as p
where p.pending >= 100000;
