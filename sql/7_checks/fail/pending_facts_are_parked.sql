-- Every fact that is pending is parked: folds find it there.
--
-- A fact that is not would never be folded, and its entities would lag behind killmails for ever.
--
-- What to do: call entity_stats.fold_pending() parks and folds it, and entity_stats_fold_pending does so every five minutes. It
-- happens when somebody empties entity_stats.parked, disables the triggers of entity_stats.ticket, or tampers with settings
-- named entity_stats.*; anything else is a bug: please report it with the rows of entity_stats.ledger.
select
    l.xid,
    count(*) as facts,
    min(l."killmailTime") as "firstKillmailTime",
    max(l."killmailTime") as "lastKillmailTime"
from entity_stats.ledger as l
where
    public.is_stats_cache_populated()
    and not l.folded
    and not exists (select 1 from entity_stats.parked as p where p.xid = l.xid)
group by l.xid;
