-- Recalculation of single entities from the source, exact while killmails arrive: for repair, and after surgery on partitions.
create or replace function entity_stats.recalculate_entities(entity_type text, entity_ids bigint[])
returns setof entity_stats.correction
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
begin
    if entity_type is null or entity_type not in ('character', 'corporation', 'alliance') then
        raise exception 'unknown entity type: %', coalesce(entity_type, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Entity types are character, corporation and alliance.';
    elsif current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'recalculation works in READ COMMITTED only'
            using errcode = 'invalid_transaction_state', hint = 'Run it with autocommit, or in a READ COMMITTED transaction.';
    end if;

    lock table public.killmails in access share mode;
    lock table entity_stats.gate in row share mode;

    if exists (select from entity_stats.invalidation) or not exists (select from entity_stats.state as s where s.status = 'ready') then
        raise exception 'the cache is not ready: there is nothing to recalculate'
            using errcode = 'object_not_in_prerequisite_state', hint = 'Run the backfill: call entity_stats.backfill().';
    end if;

    -- Rows first, in the global order: whoever folds one of them from here on waits for us. Then, in a new statement, truth
    -- and ledger as they are now.
    insert into public.entity_stats_cache ("entityId", "entityType")
    select wanted.id, recalculate_entities.entity_type
    from (select distinct unnest(entity_ids) as id) as wanted
    where
        wanted.id <> 0
        and exists (
            select
            from entity_stats.killmail_party() as p
            where p."entityType" = recalculate_entities.entity_type and p."entityId" = wanted.id
        )
    order by wanted.id
    on conflict do nothing;

    perform
    from public.entity_stats_cache as c
    where c."entityType" = recalculate_entities.entity_type and c."entityId" = any(entity_ids)
    order by c."entityType" desc, c."entityId"
    for update;

    -- What is not a number cannot be mended by adding to it.
    update public.entity_stats_cache as c
    set
        "iskDestroyedAll" = entity_stats.isk(c."iskDestroyedAll"),
        "iskLostAll" = entity_stats.isk(c."iskLostAll"),
        "iskDestroyed90d" = entity_stats.isk(c."iskDestroyed90d"),
        "iskLost90d" = entity_stats.isk(c."iskLost90d"),
        "iskDestroyed30d" = entity_stats.isk(c."iskDestroyed30d"),
        "iskLost30d" = entity_stats.isk(c."iskLost30d"),
        "iskDestroyed14d" = entity_stats.isk(c."iskDestroyed14d"),
        "iskLost14d" = entity_stats.isk(c."iskLost14d")
    where
        c."entityType" = recalculate_entities.entity_type
        and c."entityId" = any(entity_ids)
        and 'Infinity' <= any(
            array[
                abs(c."iskDestroyedAll"), abs(c."iskLostAll"), abs(c."iskDestroyed90d"), abs(c."iskLost90d"),
                abs(c."iskDestroyed30d"), abs(c."iskLost30d"), abs(c."iskDestroyed14d"), abs(c."iskLost14d")
            ]
        );

    return query
    insert into entity_stats.correction ("entityId", "entityType", "column", cached, actual)
    select d."entityId", d."entityType", d."column", d.cached, d.actual
    from entity_stats.differences() as d
    where d."entityType" = recalculate_entities.entity_type and d."entityId" = any(entity_ids)
    on conflict do nothing
    returning *;

    perform entity_stats.merge(
        array(
            select d
            from entity_stats.drift(staging => false) as d
            where d."entityType" = recalculate_entities.entity_type and d."entityId" = any(entity_ids)
        )
    );
end
$$;

comment on function entity_stats.recalculate_entities(text, bigint[]) is
'Recalculates entities of one type (character, corporation, alliance) from the source in one transaction; returns and keeps the cells it changed.';

create or replace function entity_stats.recalculate(entity_id bigint, entity_type text)
returns setof entity_stats.correction
language sql
set search_path = pg_catalog, pg_temp
begin atomic
    select c.* from entity_stats.recalculate_entities(entity_type, array[entity_id]) as c;
end;

comment on function entity_stats.recalculate(bigint, text) is
'Recalculates one entity from the source; returns the cells it changed, no row when all was right. Raises when the cache is not ready.';

create or replace procedure entity_stats.recalculate_active(as_of timestamptz default null, days integer default 90)
language plpgsql
as $$
declare
    batch constant integer := 200;
    since constant timestamptz := entity_stats.cutoff_at(entity_stats.past(as_of), days);
    type text;
    ids bigint [];
    changed bigint;
    total bigint;
    reported timestamptz := pg_catalog.clock_timestamp();
begin
    foreach type in array array['character', 'corporation', 'alliance'] loop
        ids := entity_stats.active_entities(type, since);
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
end
$$;

comment on procedure entity_stats.recalculate_active (timestamptz, integer) is
'Recalculates every entity with a killmail in the days before as_of (UTC, default now), or with a windowed count in the cache, 200 per transaction. Call it with autocommit.';

create or replace function entity_stats.active_entities(entity_type text, since timestamptz)
returns bigint[]
language sql stable
set search_path = pg_catalog, pg_temp
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
