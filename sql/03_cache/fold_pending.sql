-- Folds what is pending in the order in which it was captured, so that a deletion never comes before its arrival, in chunks of bounded
-- size, each its own transaction. Several sessions may ask for it at once: they take turns.
create or replace function entity_stats.take_from_aside()
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    moved bigint;
begin
    with taken as (
        delete from entity_stats.aside as d
        using entity_stats.facts_aside() as a
        where d.part = a.part
        returning a.xid, a."capturedAt", a.fact, a.reason, a.part
    )

    insert into entity_stats.ledger (part, xid, "capturedAt", facts, killmails, reason)
    overriding system value
    select t.part, t.xid, t."capturedAt", array[t.fact], 1, t.reason
    from taken as t;

    get diagnostics moved = row_count;
    delete from entity_stats.aside as d where d.killmail ->> 'killmailTime' is null; -- no window has it
    return moved;
end
$$;

comment on function entity_stats.take_from_aside() is 'Moves the killmails that were set aside to the ledger; returns how many.';

create or replace function entity_stats.fold_some(most integer, except_parts bigint[])
returns table (folded bigint, failed bigint[], why text)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set lock_timeout = '2s'
as $$
declare
    parts bigint [];
    facts entity_stats.fact [];
    retried boolean;
    now_state entity_stats.state;
begin
    -- The turn first: who waits for it holds nothing. Then killmails before the gate, as everywhere: merge() may look something up.
    perform set_config('lock_timeout', '0', true);
    perform pg_advisory_xact_lock(hashtextextended('entity_stats.fold_pending', 0));
    perform set_config('lock_timeout', '2s', true);
    perform entity_stats.lock_with_retries('access share', 'public.killmails');
    lock table entity_stats.gate in row share mode;
    lock table entity_stats.ledger, entity_stats.aside in row exclusive mode; -- before they are read: REINDEX waits for readers of indexes

    select s.* into now_state from entity_stats.state as s;
    if now_state.status is distinct from 'ready' then
        return;
    end if;

    -- Until nothing is aside that comes before any of these.
    loop
        select
            array_agg(n.part order by n.part) filter (where n.before < most),
            bool_or(n."failedAt" is not null) filter (where n.before < most)
        into parts, retried
        from (
            select l.part, l."failedAt", sum(l.killmails) over (order by l.part) - l.killmails as before
            from (
                select p.part, p.killmails, p."failedAt"
                from entity_stats.ledger as p
                where not p.folded and p.part <> all(except_parts)
                order by p.part
                limit most
            ) as l
        ) as n;

        exit when not exists (select from entity_stats.aside);
        exit when entity_stats.take_from_aside() = 0;
    end loop;

    if parts is null then
        return;
    end if;

    begin
        select array_agg(f)
        into facts
        from entity_stats.ledger as l
        cross join lateral unnest(l.facts) as f
        where l.part = any(parts);

        if now_state."historyTo" is not null then
            perform entity_stats.keep_late(facts, now_state."historyTo");
        end if;

        -- Others may have been folded while one of these failed.
        perform entity_stats.merge(facts, verify => retried or cardinality(except_parts) > 0);

        if now_state.retaining then
            update entity_stats.ledger as l set folded = true where l.part = any(parts) and not l.absorbed;
        end if;
        delete from entity_stats.ledger as l where l.part = any(parts) and not l.folded;

        folded := cardinality(facts);
    exception
        when others then
            folded := 0;
            failed := parts;
            why := format('%s: %s', sqlstate, sqlerrm);
            if cardinality(parts) = 1 then
                update entity_stats.ledger as l set reason = why, "failedAt" = clock_timestamp() where l.part = parts[1];
            end if;
    end;

    return next;
end
$$;

comment on function entity_stats.fold_some(integer, bigint[]) is
'Folds the next pending facts, about most, but those of except_parts; returns how many and, when the fold has failed, the parts that it tried, and why. No row: nothing is pending, or the cache is not folding.';

create or replace procedure entity_stats.fold_ahead()
language plpgsql
as $$
declare
    waiting constant bigint := greatest(
        (select max(l.part) from entity_stats.ledger as l where not l.folded), (select max(a.part) from entity_stats.aside as a)
    );
begin
    call entity_stats.require_autocommit('fold_ahead');
    loop
        exit when (select s.failed is not null from entity_stats.fold_some(500, '{}') as s) is not false;
        commit;
        -- What is aside is in the ledger now. What comes from here on may come as fast as it is folded.
        exit when not exists (select from entity_stats.ledger as l where not l.folded and l.part <= waiting);
    end loop;
    commit;
end
$$;

comment on procedure entity_stats.fold_ahead () is
'For work in many steps each of which reads all that is pending: folds it first, as far as it can be folded. What cannot stays; fold_pending() says why. Call it with autocommit.';

create or replace procedure entity_stats.fold_pending()
language plpgsql
as $$
declare
    begun constant timestamptz := pg_catalog.clock_timestamp();
    reported timestamptz := begun;
    most integer := 500;
    total bigint := 0;
    failed bigint [] := array[]::bigint [];
    in_a_row integer := 0;
    why text;
    step record;
begin
    call entity_stats.require_autocommit('fold_pending');
    perform entity_stats.require_read_committed('fold_pending');
    if (select s.status = 'backfilling' from entity_stats.state as s) then
        raise notice 'A backfill is running: it takes in all pending facts';
        return;
    end if;
    perform entity_stats.require_source(as_built => false);
    commit; -- killmails are locked next

    loop
        select s.* into step from entity_stats.fold_some(most, failed) as s;
        exit when not found;
        commit;

        -- One of them is to blame: ever fewer at once, until it is alone and can be left; then more again. Many in a row have a cause in common.
        if step.failed is null then
            in_a_row := 0;
            most := least(500, most * 2);
        elsif pg_catalog.cardinality(step.failed) > 1 then
            most := greatest(1, most / 8);
        else
            failed := failed || step.failed;
            why := step.why;
            in_a_row := in_a_row + 1;
            exit when in_a_row = 10;
            most := 1;
        end if;

        total := total + step.folded;
        if pg_catalog.clock_timestamp() - reported > interval '5 seconds' then
            raise notice '  % killmails so far', pg_catalog.to_char(total, 'FM999,999,999,990');
            reported := pg_catalog.clock_timestamp();
        end if;
    end loop;
    commit;

    while entity_stats.apply_late(2000) > 0 loop
        commit;
    end loop;
    commit;

    raise notice 'Folded % pending killmails', pg_catalog.to_char(total, 'FM999,999,999,990');

    if pg_catalog.cardinality(failed) > 0 then
        raise exception 'killmails of % statements could not be folded: %', pg_catalog.cardinality(failed), why
            using errcode = pg_catalog.left(why, 5),
                hint = 'They stay in the ledger: select reason, "failedAt" from entity_stats.ledger where "failedAt" is not null. Fix the cause, then call entity_stats.fold_pending() again.';
    end if;
end
$$;

comment on procedure entity_stats.fold_pending () is
'Applies all pending facts to the cache (bulk loads, other isolation levels, faults), 500 killmails per transaction, and what has come late to the history. Call it with autocommit.';
