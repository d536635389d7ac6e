-- Folds what is parked, in chunks of bounded size, each its own transaction; any number of sessions may run it at once.
create or replace function entity_stats.fold_parked(most integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
    leftover xid8;
    folded bigint;
begin
    -- killmails before the gate, as everywhere: merge() may have to look something up in it.
    lock table public.killmails in access share mode;

    select p.xid into leftover
    from entity_stats.parked as p
    limit 1
    for update skip locked;

    if not found then
        return null;
    end if;

    folded := entity_stats.fold(leftover, most);

    if folded is not null and not exists (select from entity_stats.ledger as l where l.xid = leftover and not l.folded) then
        delete from entity_stats.parked as p where p.xid = leftover;
    end if;

    return folded;
end
$$;

comment on function entity_stats.fold_parked(
    integer
) is 'Folds up to most facts of one parked transaction; returns how many, null when nothing is parked, others are at it, or the cache is not folding.';

create or replace procedure entity_stats.fold_pending()
language plpgsql
as $$
declare
    folded bigint;
    total bigint := 0;
    reported timestamptz := pg_catalog.clock_timestamp();
begin
    if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'fold_pending() works in READ COMMITTED only'
            using errcode = 'invalid_transaction_state', hint = 'Run it with autocommit, outside a transaction block.';
    end if;

    if (select s.status = 'backfilling' and not s.folding from entity_stats.state as s) then
        raise notice 'A backfill is running: it will take all pending facts in';
        return;
    end if;

    loop
        folded := entity_stats.fold_parked(500);
        commit;
        exit when folded is null;

        total := total + folded;
        if pg_catalog.clock_timestamp() - reported > interval '5 seconds' then
            raise notice '  % killmails so far', pg_catalog.to_char(total, 'FM999,999,999,990');
            reported := pg_catalog.clock_timestamp();
        end if;
    end loop;

    raise notice 'Folded % pending killmails', pg_catalog.to_char(total, 'FM999,999,999,990');
end
$$;

comment on procedure entity_stats.fold_pending () is
'Applies all pending facts to the cache (bulk loads, other isolation levels, faults), 500 killmails per transaction. Call it with autocommit.';
