-- One slice of a build, in one transaction. A rebuild reads it into the staging, beside a cache that serves.
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
    perform entity_stats.lock_build(alone => false);
    -- Before the snapshot: a TRUNCATE in between would be read as a table that had always been empty.
    perform entity_stats.lock_with_retries('access share', 'public.killmails');
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
