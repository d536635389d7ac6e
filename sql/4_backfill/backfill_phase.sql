-- One phase: the totals of one entity type in one period, slice by slice, straight from the source into the staging.
-- The phases of a period are independent: several sessions may build them side by side.
create or replace function entity_stats.build_slice(in_period text, in_type text, in_slice integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
set plan_cache_mode = force_custom_plan
set jit = off
set work_mem = '256MB'
as $$
declare
    todo entity_stats.phase;
    built bigint;
begin
    perform entity_stats.claim_build(alone => false);
    -- Before the snapshot: a TRUNCATE in between would be read as a table that had always been empty.
    perform entity_stats.lock_patiently('public.killmails', 'access share');

    select p.* into todo
    from entity_stats.phase as p
    where p.period = in_period and p."entityType" = in_type and p.slice = in_slice
    for update;

    if todo.snapshot is not null then
        return 0;
    end if;
    perform entity_stats.refuse_disturbed();

    -- One statement, one snapshot: what the totals have seen is what the phase says they have seen.
    with seen as (
        update entity_stats.phase as p
        set snapshot = pg_current_snapshot()
        where p.period = in_period and p."entityType" = in_type and p.slice = in_slice
    )

    insert into entity_stats.staged
    select
        in_type,
        t."entityId",
        w.bit,
        case when t.attacker then t.killmails else 0 end as kills,
        case when t.attacker then 0 else t.killmails end as losses,
        case when t.attacker then t.isk else 0 end as "iskDestroyed",
        case when t.attacker then 0 else t.isk end as "iskLost",
        case when t.attacker then t.solo else 0 end as "soloKills",
        case when t.attacker then 0 else t.solo end as "soloLosses",
        case when t.attacker then t.npc else 0 end as "npcKills",
        case when t.attacker then 0 else t.npc end as "npcLosses",
        case when t.attacker then t."lastTime" end as "lastKillTime",
        case when not t.attacker then t."lastTime" end as "lastLossTime",
        null as "staleKillTime",
        null as "staleLossTime"
    from entity_stats.totals_by_role(in_type, todo."fromTime", todo."toTime") as t
    cross join entity_stats.time_window as w
    where w.period = in_period;

    get diagnostics built = row_count;

    update entity_stats.phase as p
    set entities = built, "finishedAt" = clock_timestamp()
    where p.period = in_period and p."entityType" = in_type and p.slice = in_slice;

    return built;
end
$$;

comment on function entity_stats.build_slice(text, text, integer) is
'Builds one slice in one transaction unless it is built already; returns the number of rows it staged.';

create or replace procedure entity_stats.backfill_phase(period text, entity_type text)
language plpgsql
as $$
declare
    begun constant timestamptz := pg_catalog.clock_timestamp();
    todo record;
    staged bigint;
    entities bigint;
    slices bigint;
begin
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

    for todo in
        select p.slice, p."fromTime", p."toTime"
        from entity_stats.phase as p
        where p.period = backfill_phase.period and p."entityType" = backfill_phase.entity_type and p.snapshot is null
        order by p.slice
    loop
        staged := entity_stats.build_slice(period, entity_type, todo.slice);
        commit;
        if slices > 1 then
            raise notice '  slice % of %, killmails before %: % totals', todo.slice, slices, coalesce(todo."toTime"::text, 'now'),
                pg_catalog.to_char(staged, 'FM999,999,999,990');
        end if;
    end loop;

    select count(distinct s."entityId") into entities
    from entity_stats.staged as s
    inner join entity_stats.time_window as w on s.periods = w.bit
    where w.period = backfill_phase.period and s."entityType" = backfill_phase.entity_type;

    raise notice 'Backfilled % %s (%) in % ms',
        pg_catalog.to_char(entities, 'FM999,999,999,990'),
        entity_type,
        case period when 'all' then 'all-time' else period end,
        pg_catalog.to_char(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - begun) * 1000, 'FM999,999,999,990');
end
$$;

comment on procedure entity_stats.backfill_phase (text, text) is
'Stages one phase of the running backfill, committing slice by slice; finished slices are not done again. period: all, 90d, 30d, 14d; entity_type: character, corporation, alliance.';
