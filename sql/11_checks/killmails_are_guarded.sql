create view entity_stats.killmails_are_guarded as
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

comment on view entity_stats.killmails_are_guarded is
'fail: Every partition of killmails has its four capture triggers, enabled, and the ledger has the trigger that folds at COMMIT.

Killmails that were written directly to a partition while its trigger was missing or disabled are not in the cache (those
written to public.killmails are, if that table has its triggers).

What to do: call entity_stats.guard_killmails(): it creates what is missing and enables what is disabled. For the ledger:
alter table entity_stats.ledger enable always trigger fold_at_commit. If killmails were missed, the exactness claims fail too:
they say how to repair that. Find out who runs DISABLE TRIGGER, or creates partitions between two cleanups.';
