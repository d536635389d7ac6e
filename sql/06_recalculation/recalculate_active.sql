-- Recalculation of everybody who was active, in batches.
create or replace function entity_stats.active_entities(entity_type text, since timestamptz)
returns bigint[]
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
set work_mem = '64MB'
begin atomic
    select array_agg(a."entityId" order by a."entityId")
    from (
        select p."entityId"
        from entity_stats.killmail_party() as p
        where p."entityType" = entity_type and p."killmailTime" >= since
        union
        select c."entityId"
        from entity_stats.cached() as c
        where c."entityType" = entity_type and c.periods > 1 and (c.kills <> 0 or c.losses <> 0)
    ) as a;
end;

comment on function entity_stats.active_entities(text, timestamptz) is
'Ids of entities of a type with a killmail since a time, or with a windowed count in the cache.';

create or replace procedure entity_stats.recalculate_active(as_of timestamptz default null, days integer default 90)
language plpgsql
as $$
declare
    batch constant integer := 200;
    since constant timestamptz := entity_stats.cutoff_at(entity_stats.require_past(as_of), days);
    this_run bigint;
    type text;
    ids bigint [];
    changed bigint;
    total bigint;
    reported timestamptz := pg_catalog.clock_timestamp();
begin
    call entity_stats.require_autocommit('recalculate_active');
    perform entity_stats.require_source(as_built => false);
    this_run := entity_stats.start_run_here('recalculation', as_of);
    commit;
    foreach type in array array['character', 'corporation', 'alliance'] loop
        ids := entity_stats.active_entities(type, since);
        commit; -- who has read the cache and then writes it deadlocks with a REINDEX, which holds it and waits for readers of its indexes
        total := 0;
        for i in 1 .. coalesce(pg_catalog.array_length(ids, 1), 0) by batch loop
            select count(*) into changed
            from entity_stats.recalculate_entities(type, ids[i : i + batch - 1]);
            commit;
            total := total + changed;
            if pg_catalog.clock_timestamp() - reported > interval '5 seconds' then
                raise notice '  % of % %s', i, pg_catalog.array_length(ids, 1), type;
                reported := pg_catalog.clock_timestamp();
            end if;
        end loop;
        raise notice 'Recalculated % %s active since %: % cells changed',
            pg_catalog.to_char(coalesce(pg_catalog.array_length(ids, 1), 0), 'FM999,999,999,990'), type, since, total;
    end loop;
    perform entity_stats.finish_run(this_run, 'success');
end
$$;

comment on procedure entity_stats.recalculate_active (timestamptz, integer) is
'Recalculates every entity with a killmail in the days before as_of (UTC, default now), or with a windowed count in the cache, 200 per transaction. Call it with autocommit.';
