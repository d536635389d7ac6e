-- The fold at COMMIT. The insert of a ticket does nothing but delete it, and that delete is what folds: the fold is then the
-- last in the queue of deferred events, behind deferred constraints of the site, and survives SET CONSTRAINTS ALL IMMEDIATE.
-- Both happen within the command that commits. In one that does not, the fold postpones itself again: its row locks belong to
-- the end of the transaction, where there is one order for everybody.
create or replace function entity_stats.postpone_fold()
returns trigger
language plpgsql security definer -- the ingesting role has no right on tickets
set search_path = pg_catalog, pg_temp
as $$
begin
    set constraints entity_stats.fold_at_commit deferred;
    perform set_config('entity_stats.due', statement_timestamp()::text, true);
    delete from entity_stats.ticket as t where t.xid = new.xid;
    return null;
end
$$;

comment on function entity_stats.postpone_fold() is 'Deferred trigger of a new ticket: queues the fold behind everything that is already deferred.';

create or replace function entity_stats.fold_at_commit()
returns trigger
language plpgsql security definer -- the ingesting role has no right on ledger and cache
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
    most constant integer := 500; -- killmails: 100,000 in one COMMIT stalled everybody else for seconds
    leftover xid8;
    reason text;
    failed_at timestamptz;
begin
    if current_setting('entity_stats.due', true) is distinct from statement_timestamp()::text then
        insert into entity_stats.ticket (xid) values (old.xid) on conflict do nothing;
        return null;
    end if;

    if current_setting('max_prepared_transactions') <> '0' and current_query() ~* '\mprepare\M(\s|/\*.*?\*/|--[^\n]*\n)+transaction\M' then
        reason := 'prepared transaction'; -- would hold its row locks until somebody finishes it
    else
        begin
            -- Left-over facts must not wait for the clock: each COMMIT takes some along, but none that have made trouble.
            select p.xid into leftover
            from entity_stats.parked as p
            where p."failedAt" is null and p.xid <> old.xid and entity_stats.claim_parked(p.xid)
            limit 1
            for update skip locked;

            perform entity_stats.fold(old.xid, leftover, most, whole => true);
        exception
            when others or query_canceled then
                -- An ingest must never fail because of the cache: the facts stay in the ledger for a later fold.
                reason := format('%s: %s', sqlstate, sqlerrm);
                failed_at := clock_timestamp();
                raise log 'entity stats cache: fold left pending (%)', reason;
        end;
    end if;

    if reason is not null then
        insert into entity_stats.parked (xid, reason, "failedAt") values (old.xid, reason, failed_at);
    end if;

    -- Either transaction may be to blame.
    if failed_at is not null and leftover is not null then
        update entity_stats.parked as p
        set "failedAt" = failed_at
        where p.ctid = any(array(select q.ctid from entity_stats.parked as q where q.xid = leftover for update skip locked));
    end if;

    return null;
end
$$;

comment on function entity_stats.fold_at_commit() is 'Deferred trigger of a deleted ticket: folds this transaction''s facts, or parks them. Never raises.';

do $$
begin
    if not exists (select from pg_catalog.pg_trigger as t where t.tgrelid = 'entity_stats.ticket'::regclass and t.tgname = 'fold_at_commit') then
        create constraint trigger postpone_fold
        after insert on entity_stats.ticket
        deferrable initially deferred
        for each row execute function entity_stats.postpone_fold();

        create constraint trigger fold_at_commit
        after delete on entity_stats.ticket
        deferrable initially deferred
        for each row execute function entity_stats.fold_at_commit();

        -- Like capture: whatever session_replication_role says.
        alter table entity_stats.ticket enable always trigger postpone_fold;
        alter table entity_stats.ticket enable always trigger fold_at_commit;
    end if;
end
$$;
