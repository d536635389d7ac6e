-- The finish: adds what the phases have not seen, writes the truth to the cache, and declares it ready.
-- A first build has filled the empty cache, which nobody folds into yet: it adds the facts that the phases have not seen. A
-- rebuild compares: range by range it writes what a ready cache lacks.
create or replace function entity_stats.finish_loading()
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set work_mem = '256MB'
as $$
declare
    now_state entity_stats.state;
begin
    perform entity_stats.claim_build(alone => true);
    select s.* into now_state from entity_stats.state as s for update;

    if now_state.status <> 'backfilling' or now_state."finishedTo" is not null then
        return null;
    elsif exists (select from entity_stats.phase as p where p.snapshot is null) then
        return null;
    end if;

    analyze public.entity_stats_cache ("entityId", "entityType"); -- what plans look at
    update entity_stats.state as s set "finishedTo" = 9223372036854775807;

    return (select sum(p.entities) from entity_stats.phase as p where p.period = 'all');
end
$$;

comment on function entity_stats.finish_loading() is
'First build only, once the phases have filled the cache: from here on facts are added to it; returns the number of entities, null when it is not the time for it.';

create or replace function entity_stats.merge_staged()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    if (select s.status = 'backfilling' and s."finishedTo" is not null from entity_stats.state as s) then
        perform entity_stats.merge(deltas => array(select row(s.*)::entity_stats.delta from entity_stats.staged as s));
        delete from entity_stats.staged;
    end if;
end
$$;

comment on function entity_stats.merge_staged() is
'First build only, once the cache is filed: adds what has been absorbed to it.';

create or replace function entity_stats.absorb(most integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    taken bigint [];
begin
    perform entity_stats.take_from_aside();
    -- In the order of capture: a deletion comes after the arrival that it deletes, although its transaction may be the older one.
    taken := array(
        select l.part
        from entity_stats.ledger as l
        where not l.absorbed
        order by l.part
        limit most
    );

    insert into entity_stats.staged
    select
        d."entityType", d."entityId", w.bit, d.kills, d.losses, d."iskDestroyed", d."iskLost",
        d."soloKills", d."soloLosses", d."npcKills", d."npcLosses",
        d."lastKillTime", d."lastLossTime", d."staleKillTime", d."staleLossTime"
    from entity_stats.ledger as l
    cross join lateral entity_stats.parties(l.facts) as d
    inner join entity_stats.time_window as w on d."killmailTime" >= w.cutoff
    inner join entity_stats.phase as p
        on
            w.period = p.period
            and d."entityType" = p."entityType"
            and d."killmailTime" >= p."fromTime"
            and (p."toTime" is null or d."killmailTime" < p."toTime")
            and entity_stats.in_part(d."entityId", p.slice, p.parts)
    where l.part = any(taken) and not pg_visible_in_snapshot(l.xid, p.snapshot);

    -- A fact that no fold has applied yet stays pending for the fold, unless folds have not begun: then the staging has it.
    delete from entity_stats.ledger as l
    where l.part = any(taken) and (l.folded or (select s.status = 'backfilling' from entity_stats.state as s));

    update entity_stats.ledger as l set absorbed = true where l.part = any(taken);

    return cardinality(taken);
end
$$;

comment on function entity_stats.absorb(integer) is
'Under the gate: takes up to most rows of the ledger into the staging, as far as the phases have not seen them; returns how many it looked at.';

create or replace function entity_stats.absorb_some(most integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    taken bigint;
begin
    perform entity_stats.claim_build(alone => true);
    perform entity_stats.lock_patiently('public.killmails', 'access share');
    perform entity_stats.close_gate();
    taken := entity_stats.absorb(most);
    perform entity_stats.merge_staged();
    return taken;
end
$$;

comment on function entity_stats.absorb_some(integer) is 'absorb() in a transaction of its own.';

create or replace function entity_stats.open_cache()
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    now_state entity_stats.state;
    undone bigint;
begin
    perform entity_stats.claim_build(alone => true);
    perform entity_stats.lock_patiently('public.killmails', 'access share');
    perform entity_stats.close_gate();
    select s.* into now_state from entity_stats.state as s;
    select count(*) into undone from entity_stats.phase as p where p.snapshot is null;

    if now_state.status <> 'backfilling' and not now_state.retaining then
        return false;
    end if;

    perform entity_stats.refuse_disturbed();

    if undone > 0 then
        raise exception '% slices of the backfill are not done', undone
            using errcode = 'object_not_in_prerequisite_state', hint = 'call entity_stats.backfill(): it resumes at the first of them.';
    elsif now_state.status = 'ready' then
        return true;
    end if;

    while entity_stats.absorb(1000) > 0 loop
        perform entity_stats.merge_staged();
    end loop;

    update entity_stats.state as s
    set status = 'ready', "readyAt" = clock_timestamp(), "finishedTo" = null;
    return true;
end
$$;

comment on function entity_stats.open_cache() is
'Under the gate: a first build takes the last facts and becomes ready; true as well when a rebuild has ranges to finish, false when there is nothing to do.';

create or replace function entity_stats.finish_range(most integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan -- with the ids in the plan, indexes answer
set enable_seqscan = off
set jit = off
as $$
declare
    done_to bigint;
    to_id bigint;
    net entity_stats.delta [];
    merged bigint;
begin
    perform entity_stats.claim_build(alone => true);
    perform entity_stats.lock_patiently('public.killmails', 'access share');
    perform entity_stats.close_gate();
    lock table public.entity_stats_cache in row exclusive mode; -- before it is read: REINDEX holds it and waits for readers of its indexes

    if not (select s.retaining from entity_stats.state as s) then
        return null;
    end if;

    perform entity_stats.refuse_disturbed();

    while entity_stats.absorb(1000) > 0 loop
        null;
    end loop;

    select s."finishedTo" into done_to from entity_stats.state as s;

    select max(e."entityId") into to_id
    from (
        (
            select s."entityId"
            from entity_stats.staged as s
            where done_to is null or s."entityId" > done_to
            order by s."entityId"
            limit most
        )
        union all
        (
            select c."entityId"
            from public.entity_stats_cache as c
            where done_to is null or c."entityId" > done_to
            order by c."entityId"
            limit most
        )
        order by "entityId"
        limit most
    ) as e;

    if to_id is null then
        update entity_stats.state as s
        set status = 'ready', retaining = false, "finishedTo" = null; -- ready since its first build: it has served throughout
        delete from entity_stats.ledger as l where l.folded;
        return null;
    end if;

    -- Facts that are pending and absorbed will be folded after us, so the row must not have them yet; facts committed since
    -- the absorption are neither staged nor subtracted.
    select array(
        select d
        from entity_stats.drift(staging => true) as d
        where (done_to is null or d."entityId" > done_to) and d."entityId" <= to_id
    )
    into net;

    update entity_stats.state as s set "finishedTo" = to_id;
    merged := entity_stats.merge(deltas => net);

    return merged;
end
$$;

comment on function entity_stats.finish_range(integer) is
'Writes the next range of entities, about most staged rows wide, in one short transaction under the gate; null when the cache became ready.';

create or replace function entity_stats.discard_staging()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform entity_stats.claim_build(alone => true);

    if exists (select from entity_stats.state as s where s.status <> 'backfilling' and not s.retaining) then
        perform entity_stats.clear_staging();
    end if;
end
$$;

comment on function entity_stats.discard_staging() is 'Gives the space of the staging back once no build needs it.';

create or replace procedure entity_stats.backfill_finish()
language plpgsql
as $$
declare
    begun constant timestamptz := pg_catalog.clock_timestamp();
    reported timestamptz := begun;
    written bigint;
    total bigint := 0;
    seen bigint;
    waiting bigint;
    first_build boolean;
begin
    call entity_stats.require_autocommit('backfill_finish');
    if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'backfill_finish() works in READ COMMITTED only'
            using errcode = 'invalid_transaction_state', hint = 'Run it with autocommit, outside a transaction block.';
    elsif not exists (select from entity_stats.state as s where s.status = 'backfilling' or s.retaining) then
        raise notice 'Nothing to finish: no backfill is running';
        perform entity_stats.discard_staging();
        return;
    end if;

    perform entity_stats.claim_build(alone => true);
    perform entity_stats.refuse_disturbed();

    first_build := (select s.status = 'backfilling' from entity_stats.state as s);

    if first_build then
        total := coalesce(entity_stats.finish_loading(), 0);
        commit;
    elsif pg_catalog.to_regclass('entity_stats.staged_entity') is null then
        create index staged_entity on entity_stats.staged ("entityId");
        commit;
    end if;

    -- Every range looks through what is pending: let that be little. What comes from here on may come as fast as it is folded.
    select max(l.part) into waiting from entity_stats.ledger as l where not l.folded;
    while not first_build and exists (select from entity_stats.ledger as l where not l.folded and l.part <= waiting) loop
        exit when (select s.failed is not null from entity_stats.fold_some(500, '{}') as s) is not false;
        commit;
    end loop;
    commit;

    loop
        seen := entity_stats.absorb_some(1000);
        commit;
        exit when seen < 1000;
    end loop;

    if not entity_stats.open_cache() then
        raise exception 'another session has finished the backfill'
            using errcode = 'lock_not_available', hint = 'Look at entity_stats.status().';
    end if;
    commit;

    loop
        written := entity_stats.finish_range(5000);
        commit;
        exit when written is null;

        total := total + written;
        if pg_catalog.clock_timestamp() - reported > interval '5 seconds' then
            raise notice '  % entities written', pg_catalog.to_char(total, 'FM999,999,999,990');
            reported := pg_catalog.clock_timestamp();
        end if;
    end loop;

    call entity_stats.mark_leaders();

    perform entity_stats.discard_staging();
    commit;

    raise notice 'Finished: wrote % entities in % ms',
        pg_catalog.to_char(total, 'FM999,999,999,990'),
        pg_catalog.to_char(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - begun) * 1000, 'FM999,999,999,990');
end
$$;

comment on procedure entity_stats.backfill_finish () is
'Turns the staged phases into the ready cache while killmails keep arriving; killed and called again, it goes on where it stopped.';
