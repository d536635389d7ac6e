-- Folds what is parked, in chunks of bounded size, each its own transaction; any number of sessions may run it at once.
create or replace function entity_stats.fold_parked(most integer, since timestamptz)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set lock_timeout = '2s'
as $$
declare
    leftover xid8;
    folded bigint;
begin
    -- killmails before the gate, as everywhere: merge() may have to look something up in it.
    perform entity_stats.lock_patiently('public.killmails', 'access share');

    select p.xid into leftover
    from entity_stats.parked as p
    where (p."failedAt" is null or p."failedAt" < since) and entity_stats.claim_parked(p.xid)
    limit 1
    for update skip locked;

    if not found then
        delete from entity_stats.overtaking where not exists (select from entity_stats.parked);
        return null;
    end if;

    begin
        folded := entity_stats.fold(leftover, null, most);
    exception
        when others then
            -- The others must not wait for it: fold_pending() says so in the end.
            update entity_stats.parked as p
            set "failedAt" = clock_timestamp(), reason = format('%s: %s', sqlstate, sqlerrm)
            where p.xid = leftover;
            return 0;
    end;

    if folded is not null and not exists (select from entity_stats.ledger as l where l.xid = leftover and not l.folded) then
        delete from entity_stats.parked as p where p.xid = leftover;
    end if;

    return folded;
end
$$;

comment on function entity_stats.fold_parked(integer, timestamptz) is
'Folds up to most facts of one parked transaction that has not failed since; returns how many, null when there is none, others are at it, or the cache is not folding.';

create or replace procedure entity_stats.fold_pending()
language plpgsql
as $$
declare
    folded bigint;
    total bigint := 0;
    begun constant timestamptz := pg_catalog.clock_timestamp();
    reported timestamptz := begun;
    failed bigint;
    why text;
begin
    if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'fold_pending() works in READ COMMITTED only'
            using errcode = 'invalid_transaction_state', hint = 'Run it with autocommit, outside a transaction block.';
    end if;

    if (select s.status = 'backfilling' and not s.folding from entity_stats.state as s) then
        raise notice 'A backfill is running: it will take all pending facts in';
        return;
    end if;

    perform entity_stats.park_strays();
    commit;

    loop
        folded := entity_stats.fold_parked(500, begun);
        commit;
        exit when folded is null;

        total := total + folded;
        if pg_catalog.clock_timestamp() - reported > interval '5 seconds' then
            raise notice '  % killmails so far', pg_catalog.to_char(total, 'FM999,999,999,990');
            reported := pg_catalog.clock_timestamp();
        end if;
    end loop;

    raise notice 'Folded % pending killmails', pg_catalog.to_char(total, 'FM999,999,999,990');

    select count(distinct p.xid), min(p.reason) into failed, why from entity_stats.parked as p where p."failedAt" >= begun;
    if failed > 0 then
        raise exception 'the killmails of % transactions could not be folded: %', failed, why
            using errcode = pg_catalog.left(why, 5),
                hint = 'They stay in the ledger. Mend the cause (entity_stats.parked has them all), then call entity_stats.fold_pending() again.';
    end if;
end
$$;

comment on procedure entity_stats.fold_pending () is
'Applies all pending facts to the cache (bulk loads, other isolation levels, faults), 500 killmails per transaction. Call it with autocommit.';

create or replace function entity_stats.claim_parked(xid xid8)
returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
return pg_try_advisory_xact_lock(hashtext('entity_stats.parked'), hashtext(xid::text));

comment on function entity_stats.claim_parked(xid8) is
'Whether this transaction may fold the facts of a parked one until it ends: nobody else does meanwhile.';

-- The statement sees facts and their transactions' notes of one moment, so what has none will never get one.
create or replace function entity_stats.park_strays()
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    strays bigint;
begin
    insert into entity_stats.parked (xid, reason)
    select distinct l.xid, 'stray'
    from entity_stats.ledger as l
    where not l.folded and not exists (select from entity_stats.parked as p where p.xid = l.xid);

    get diagnostics strays = row_count;
    return strays;
end
$$;

comment on function entity_stats.park_strays() is
'Parks committed facts that nobody was told of, e.g. because a session has tampered with settings of the cache; returns how many transactions.';
