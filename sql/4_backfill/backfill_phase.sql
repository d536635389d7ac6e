-- One phase: the totals of one entity type in one period, straight from the source.
-- A first build has nobody who folds, so a snapshot of minutes harms nobody: all periods of a part of the entities go into the empty
-- cache in one statement, which sums each killmail once per side and writes each row once. A rebuild, beside which the cache serves,
-- goes by ranges of time into the staging. Slices are independent: several sessions may build them side by side.
create or replace function entity_stats.load_part(in_type text, part integer, parts integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
set plan_cache_mode = force_custom_plan
set jit = off
set work_mem = '256MB' -- bounds memory: up to three hash tables of twice as much and a sort at a time, temporary files beyond that
set hash_mem_multiplier = 2
as $$
declare
    since_90d constant timestamptz := (select w.cutoff from entity_stats.time_window as w where w.period = '90d');
    since_30d constant timestamptz := (select w.cutoff from entity_stats.time_window as w where w.period = '30d');
    since_14d constant timestamptz := (select w.cutoff from entity_stats.time_window as w where w.period = '14d');
    loaded record;
begin
    -- One statement, one snapshot: what the totals have seen is what the phases say they have seen.
    with seen as (
        update entity_stats.phase as p
        set snapshot = pg_current_snapshot()
        where p."entityType" = in_type and p.slice = part
    ),

    -- In the order of the key. Who is in a window is in all-time, too.
    filled as (
        insert into public.entity_stats_cache
        select
            a."entityId",
            in_type,
            a.kills,
            a.losses,
            a."iskDestroyed",
            a."iskLost",
            a."soloKills",
            a."soloLosses",
            a."npcKills",
            a."npcLosses",
            coalesce(q.kills, 0),
            coalesce(q.losses, 0),
            coalesce(q."iskDestroyed", 0),
            coalesce(q."iskLost", 0),
            coalesce(q."soloKills", 0),
            coalesce(q."soloLosses", 0),
            coalesce(q."npcKills", 0),
            coalesce(q."npcLosses", 0),
            coalesce(m.kills, 0),
            coalesce(m.losses, 0),
            coalesce(m."iskDestroyed", 0),
            coalesce(m."iskLost", 0),
            coalesce(m."soloKills", 0),
            coalesce(m."soloLosses", 0),
            coalesce(m."npcKills", 0),
            coalesce(m."npcLosses", 0),
            coalesce(f.kills, 0),
            coalesce(f.losses, 0),
            coalesce(f."iskDestroyed", 0),
            coalesce(f."iskLost", 0),
            coalesce(f."soloKills", 0),
            coalesce(f."soloLosses", 0),
            coalesce(f."npcKills", 0),
            coalesce(f."npcLosses", 0),
            a."lastKillTime",
            a."lastLossTime",
            now() at time zone 'UTC'
        from entity_stats.totals_by_type(in_type, '-infinity', null, part, parts) as a
        left join entity_stats.totals_by_type(in_type, since_90d, null, part, parts) as q on a."entityId" = q."entityId"
        left join entity_stats.totals_by_type(in_type, since_30d, null, part, parts) as m on a."entityId" = m."entityId"
        left join entity_stats.totals_by_type(in_type, since_14d, null, part, parts) as f on a."entityId" = f."entityId"
        order by a."entityId"
        returning "kills90d" + "losses90d" > 0 as in_90d, "kills30d" + "losses30d" > 0 as in_30d, "kills14d" + "losses14d" > 0 as in_14d
    )

    select
        count(*) as in_all,
        count(*) filter (where i.in_90d) as in_90d,
        count(*) filter (where i.in_30d) as in_30d,
        count(*) filter (where i.in_14d) as in_14d
    into loaded
    from filled as i;

    update entity_stats.phase as p
    set
        entities = case p.period when 'all' then loaded.in_all when '90d' then loaded.in_90d when '30d' then loaded.in_30d else loaded.in_14d end,
        "finishedAt" = clock_timestamp()
    where p."entityType" = in_type and p.slice = part;

    return loaded.in_all;
end
$$;

comment on function entity_stats.load_part(text, integer, integer) is
'First build only: the rows of one part, 1 to parts, of an entity type, all periods, from the source into the empty cache; returns how many. Memory: at most seven times its work_mem, temporary files beyond that.';

create or replace function entity_stats.stage_slice(todo entity_stats.phase)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
set plan_cache_mode = force_custom_plan
set jit = off
set work_mem = '256MB'
set hash_mem_multiplier = 2
as $$
declare
    built bigint;
begin
    -- One statement, one snapshot: what the totals have seen is what the phase says they have seen.
    with seen as (
        update entity_stats.phase as p
        set snapshot = pg_current_snapshot()
        where p.period = todo.period and p."entityType" = todo."entityType" and p.slice = todo.slice
    )

    insert into entity_stats.staged
    select
        todo."entityType",
        t."entityId",
        w.bit,
        t.kills,
        t.losses,
        t."iskDestroyed",
        t."iskLost",
        t."soloKills",
        t."soloLosses",
        t."npcKills",
        t."npcLosses",
        t."lastKillTime",
        t."lastLossTime",
        null as "staleKillTime",
        null as "staleLossTime"
    from entity_stats.totals_by_type(todo."entityType", todo."fromTime", todo."toTime") as t
    cross join entity_stats.time_window as w
    where w.period = todo.period;

    get diagnostics built = row_count;

    update entity_stats.phase as p
    set entities = built, "finishedAt" = clock_timestamp()
    where p.period = todo.period and p."entityType" = todo."entityType" and p.slice = todo.slice;

    return built;
end
$$;

comment on function entity_stats.stage_slice(entity_stats.phase) is 'Rebuild: the totals of one slice into the staging; returns how many.';

create or replace function entity_stats.build_slice(in_period text, in_type text, in_slice integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    staging boolean;
    todo entity_stats.phase;
begin
    perform entity_stats.claim_build(alone => false);
    -- Before the snapshot: a TRUNCATE in between would be read as a table that had always been empty.
    perform entity_stats.lock_patiently('public.killmails', 'access share');
    select s.retaining into staging from entity_stats.state as s;

    -- Whoever comes second waits here, and finds it done.
    perform
    from entity_stats.phase as p
    where p."entityType" = in_type and p.slice = in_slice and (p.period = in_period or not staging)
    order by p.period
    for update;

    select p.* into todo
    from entity_stats.phase as p
    where p.period = in_period and p."entityType" = in_type and p.slice = in_slice;

    if todo.snapshot is not null then
        return 0;
    end if;
    perform entity_stats.refuse_disturbed();

    if staging then
        return entity_stats.stage_slice(todo);
    else
        return entity_stats.load_part(in_type, in_slice, todo.parts);
    end if;
end
$$;

comment on function entity_stats.build_slice(text, text, integer) is
'Builds one slice in one transaction unless it is built already, in a first build that of all periods; returns the number of rows it wrote.';

create or replace function entity_stats.begin_slice(in_period text, in_type text)
returns entity_stats.phase
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    todo entity_stats.phase;
begin
    select p.* into todo
    from entity_stats.phase as p
    where
        p.period = in_period
        and p.snapshot is null
        and (
            p."entityType" = in_type
            or exists (
                select
                from entity_stats.phase as o
                where o.period = p.period and o."entityType" = p."entityType" and o."begunAt" is not null
            )
        )
    order by p."entityType" <> in_type, p."begunAt" nulls first, p."entityType", p.slice
    limit 1;

    update entity_stats.phase as p
    set "begunAt" = clock_timestamp()
    where p.period = todo.period and p."entityType" = todo."entityType" and p.slice = todo.slice and p.snapshot is null;

    return todo;
end
$$;

comment on function entity_stats.begin_slice(text, text) is
'Chooses what a session that does a phase builds next, and notes that it has begun: a slice of that phase, if possible one that nobody has begun, then slices of types that others are still at; null when there is none.';

create or replace function entity_stats.entities_built(in_period text, in_type text)
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    -- Parts have different entities; ranges of time have the same again.
    select
        case
            when count(*) = 1 or max(p.parts) > 1 then sum(p.entities)::bigint
            else (
                select count(*)
                from (
                    select distinct s."entityId"
                    from entity_stats.staged as s
                    inner join entity_stats.time_window as w on s.periods = w.bit
                    where w.period = entities_built.in_period and s."entityType" = entities_built.in_type
                ) as e
            )
        end
    from entity_stats.phase as p
    where p.period = in_period and p."entityType" = in_type;
end;

comment on function entity_stats.entities_built(text, text) is 'How many entities a phase has found.';

create or replace procedure entity_stats.backfill_phase(period text, entity_type text)
language plpgsql
as $$
declare
    begun constant timestamptz := pg_catalog.clock_timestamp();
    todo entity_stats.phase;
    built bigint;
    slices bigint;
    reported boolean := false;
begin
    call entity_stats.require_autocommit('backfill_phase');
    if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'backfill_phase() works in READ COMMITTED only'
            using errcode = 'invalid_transaction_state', hint = 'Run it with autocommit, outside a transaction block.';
    end if;

    select count(*) into slices
    from entity_stats.phase as p
    where p.period = backfill_phase.period and p."entityType" = backfill_phase.entity_type;

    if slices = 0 then
        raise exception 'no backfill of % in period % has begun', entity_type, period
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'call entity_stats.backfill_begin() first; periods are all, 90d, 30d, 14d, types character, corporation, alliance.';
    end if;

    loop
        todo := entity_stats.begin_slice(period, entity_type);
        commit;

        if not reported and todo."entityType" is distinct from entity_type then
            reported := true;
            raise notice 'Backfilled % %s (%) in % ms',
                pg_catalog.to_char(entity_stats.entities_built(period, entity_type), 'FM999,999,999,990'),
                entity_type,
                case period when 'all' then 'all-time' else period end,
                pg_catalog.to_char(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - begun) * 1000, 'FM999,999,999,990');
        end if;
        exit when todo.slice is null;

        built := entity_stats.build_slice(period, todo."entityType", todo.slice);
        commit;
        if slices > 1 or reported then
            raise notice '  slice % of %s: % totals', todo.slice, todo."entityType", pg_catalog.to_char(built, 'FM999,999,999,990');
        end if;
    end loop;
end
$$;

comment on procedure entity_stats.backfill_phase (text, text) is
'Does one phase of the running backfill, committing slice by slice, none twice, and helps who is still at another type; in a first build the first phase of a type fills all its periods. period: all, 90d, 30d, 14d; entity_type: character, corporation, alliance.';
