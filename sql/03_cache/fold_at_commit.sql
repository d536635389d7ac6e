-- The fold at COMMIT: this transaction's facts leave the ledger and are added to the cache, as the very last thing that it does. The
-- row locks of everybody are so taken in one order at the end: no deadlock, short locks. That it is the end is known, not assumed:
--   Nothing was written since the row was (cmin, PostgreSQL's count of this transaction's commands), so nothing is queued behind us: no
--   deferred constraint or trigger of the site. Else there is another turn, at the end of the queue.
--   The update that asks is an event of this trigger, too. Deferred, it waits until we are done, and has nothing to do. But if SET
--   CONSTRAINTS ... IMMEDIATE has brought us here in mid-transaction, it is fired at once, within us: then this is put off.
-- Whatever fails, the facts are where they were: in the ledger, pending.
create or replace function entity_stats.fold_own(part bigint)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set enable_seqscan = off
set enable_bitmapscan = off -- would read all rows of this transaction in each turn
set jit = off
set plan_cache_mode = force_generic_plan -- planned once per session: planning takes longer than a small fold
as $$
declare
    most constant integer := 500; -- killmails: 100,000 in one COMMIT stalled everybody else for seconds
    now_state entity_stats.state;
    last boolean;
    facts entity_stats.fact [];
    lightest integer;
    oldest timestamptz;
begin
    update entity_stats.ledger as l
    set turn = l.cmin::text::bigint
    where
        l.part = fold_own.part
        and l.xid = pg_current_xact_id()
        and l.reason is null
        and not exists ( -- a later one, which has a turn of its own; compared so that every plan goes straight to it, by the index of both columns
            select from entity_stats.ledger as n
            where
                (n.xid, n.part) > (pg_current_xact_id(), fold_own.part)
                and n.xid <= pg_current_xact_id()
                and n.reason is null
        )
    returning l.cmin::text::bigint = l.turn + 1 into last;

    if not last then
        update entity_stats.ledger as l set turn = null where l.part = fold_own.part;
        return null;
    elsif last is null then
        return null;
    end if;

    -- The gate first, state and cutoffs in the next statement: whoever moves them holds it exclusively.
    lock table entity_stats.gate in row share mode;
    select s.* into now_state from entity_stats.state as s;

    if now_state.status = 'backfilling' then
        return null;
    elsif now_state.retaining then
        with taken as (
            update entity_stats.ledger as l
            set folded = true
            where l.xid = pg_current_xact_id() and l.reason is null
            returning l.facts
        )

        select array_agg(f), min(f.weight), min(f."killmailTime")
        into facts, lightest, oldest
        from taken as t
        cross join lateral unnest(t.facts) as f;
    else
        with taken as (
            delete from entity_stats.ledger as l
            where l.xid = pg_current_xact_id() and l.reason is null
            returning l.facts
        )

        select array_agg(f), min(f.weight), min(f."killmailTime")
        into facts, lightest, oldest
        from taken as t
        cross join lateral unnest(t.facts) as f;
    end if;

    if now_state.status = 'empty' then
        return null;
    elsif cardinality(facts) > most then
        return format('more than %s killmails', most);
    end if;

    if lightest < 0 then
        -- A deletion must not overtake the arrival that it deletes.
        if exists (select from entity_stats.ledger as l where not l.folded) or exists (select from entity_stats.aside) then
            return 'earlier killmails are pending';
        end if;
        -- For a look at the source. Not waited for: who waits here would hold up a transaction of the site that waits for him.
        lock table public.killmails in access share mode nowait;
    end if;

    if oldest < now_state."historyTo" then
        perform entity_stats.keep_late(facts, now_state."historyTo");
    end if;
    if lightest >= 0 and oldest >= greatest(now_state."cutoff14d", now_state."cutoff30d", now_state."cutoff90d") then
        perform entity_stats.add(facts, '{}', 15, null, null);
    else
        perform entity_stats.merge(facts);
    end if;
    return null;
end
$$;

comment on function entity_stats.fold_own(bigint) is
'Folds this transaction''s facts if the row part of the ledger is its last one and nothing is queued behind it, else queues another turn; returns why they must wait after all, null when they need not.';

create or replace function entity_stats.fold_at_commit()
returns trigger
language plpgsql security definer -- the ingesting role has no right on ledger and cache
set search_path = pg_catalog, pg_temp
as $$
declare
    put_off constant text := 'ES001';
    why text;
    failed_at timestamptz;
begin
    begin
        if pg_trigger_depth() > 1 then
            raise exception using errcode = put_off;
        elsif new.turn is not null then
            return null;
        elsif current_setting('max_prepared_transactions') <> '0' and current_query() ~* '\mprepare\M(\s|/\*.*?\*/|--[^\n]*\n)+transaction\M' then
            why := 'prepared transaction'; -- would hold its row locks until somebody finishes it
        else
            why := entity_stats.fold_own(new.part);
        end if;

        if why is not null then
            raise exception using errcode = 'ES002';
        end if;
        return null;
    exception
        when sqlstate 'ES001' or sqlstate 'ES002' then
            if new.turn is not null then
                raise; -- to whom has asked
            end if;
        when others or query_canceled then
            why := format('%s: %s', sqlstate, sqlerrm);
            failed_at := clock_timestamp();
            raise log 'entity stats cache: fold left pending (%)', why;
    end;

    begin
        if why is null then
            set constraints entity_stats.fold_at_commit deferred;
            update entity_stats.ledger as l set turn = null where l.part = new.part;
        else
            update entity_stats.ledger as l
            set reason = why, "failedAt" = failed_at
            where l.xid = pg_current_xact_id() and l.reason is null;
        end if;
    exception
        when others or query_canceled then
            raise log 'entity stats cache: facts left pending (%)', sqlerrm;
    end;

    return null;
end
$$;

comment on function entity_stats.fold_at_commit() is 'Deferred trigger of the ledger: folds this transaction''s facts as its last action, or leaves them pending. Never raises but to itself.';

do $$
begin
    if not exists (select from pg_catalog.pg_trigger as t where t.tgrelid = 'entity_stats.ledger'::regclass and t.tgname = 'fold_at_commit') then
        create constraint trigger fold_at_commit
        after insert or update of turn on entity_stats.ledger
        deferrable initially deferred
        for each row when (new.reason is null) execute function entity_stats.fold_at_commit();

        -- Like capture: whatever session_replication_role says.
        alter table entity_stats.ledger enable always trigger fold_at_commit;
    end if;
end
$$;
