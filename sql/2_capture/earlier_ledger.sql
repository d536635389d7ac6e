-- Upgrade in place from the ledger that had a row per killmail, with tickets and parked transactions beside it. No writer of killmails may
-- be between its capture and its COMMIT while both change: they wait for this transaction, some seconds, this once.
do $$
declare
    most constant integer := 100000;
begin
    if not exists (
        select
        from pg_catalog.pg_attribute as a
        where a.attrelid = to_regclass('entity_stats.ledger') and a.attname = 'weight' and not a.attisdropped
    ) then
        return;
    end if;

    perform entity_stats.lock_patiently('public.killmails', 'exclusive');

    if (select count(*) > most from (select from entity_stats.ledger as l where not l.folded limit most + 1) as pending) then
        raise exception 'more than % killmails are pending: moving them to the new ledger would block ingests for too long', most
            using errcode = 'object_not_in_prerequisite_state', hint = 'call entity_stats.fold_pending(), then deploy again.';
    end if;

    alter table entity_stats.ledger rename to ledger_before;
    alter table entity_stats.ledger_before rename constraint ledger_pkey to ledger_before_pkey;
    alter table entity_stats.time_window rename to time_window_before;
    alter table entity_stats.phase drop constraint phase_period_fkey;
    drop table entity_stats.ticket;

    alter table entity_stats.state rename to state_before;
    alter table entity_stats.state_before rename constraint state_pkey to state_before_pkey;
    alter table entity_stats.state_before rename constraint state_single_check to state_before_single_check;
    alter table entity_stats.state_before rename constraint state_status_check to state_before_status_check;

    insert into entity_stats.invalidation (reason)
    select 'upgraded while a backfill was running'
    from entity_stats.state_before as s
    where s.status = 'backfilling';
end
$$;
