-- Every partition of killmails has its four capture triggers, enabled, and so has the ledger the one that folds at COMMIT.
--
-- A trigger that is missing or disabled lets killmails by: what was written to that partition directly since then is not in the
-- cache (what was written to public.killmails is, as long as that has its own triggers).
--
-- What to do: call entity_stats.guard_killmails() creates what is missing and enables what is disabled; for the ledger,
-- alter table entity_stats.ledger enable always trigger fold_at_commit. If killmails went by, the exactness claims fail as well: few
-- entities are repaired, for many call entity_stats.backfill(rebuild => true). Find out who runs DISABLE TRIGGER or creates
-- partitions between two cleanups.
select
    u.node,
    u.missing
from entity_stats.unguarded() as u
union all
select
    'entity_stats.ledger'::regclass as node,
    array['fold_at_commit'] as missing
where
    not exists (
        select
        from pg_catalog.pg_trigger as t
        where t.tgrelid = 'entity_stats.ledger'::regclass and t.tgname = 'fold_at_commit' and t.tgenabled = 'A'
    );
