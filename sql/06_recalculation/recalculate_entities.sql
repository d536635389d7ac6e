-- Recalculation from the source, exact while killmails arrive: for repair, and after surgery on partitions.
create or replace function entity_stats.recalculate_entities(entity_type text, entity_ids bigint[])
returns setof entity_stats.correction
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
set plan_cache_mode = force_custom_plan
set jit = off
as $$
declare
    net entity_stats.delta [];
    corrected_at timestamptz;
begin
    if entity_type is null or entity_type not in ('character', 'corporation', 'alliance') then
        raise exception 'unknown entity type: %', coalesce(entity_type, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Entity types are character, corporation and alliance.';
    end if;
    perform entity_stats.require_read_committed('recalculate');

    perform entity_stats.hold_source(as_built => false);
    perform entity_stats.lock_with_retries('access share', 'entity_stats.staged'); -- drift() names it: before the gate, as a build does
    lock table entity_stats.gate in row share mode;

    if not public.is_stats_cache_populated() then
        raise exception 'the cache is not ready: there is nothing to recalculate'
            using errcode = 'object_not_in_prerequisite_state', hint = 'Run the backfill: call entity_stats.backfill().';
    end if;

    -- Rows first, existing and missing ones in one pass in the global order: DO UPDATE locks, its condition changes nothing.
    -- Whoever folds one of them from here on waits for us.
    insert into public.entity_stats_cache as c ("entityId", "entityType")
    select wanted.id, recalculate_entities.entity_type
    from (select distinct unnest(entity_ids) as id) as wanted
    where
        wanted.id <> 0
        and (
            exists (
                select
                from public.entity_stats_cache as known
                where known."entityId" = wanted.id and known."entityType" = recalculate_entities.entity_type
            )
            or exists (
                select
                from entity_stats.killmail_party() as p
                where p."entityType" = recalculate_entities.entity_type and p."entityId" = wanted.id
            )
        )
    order by wanted.id -- of one type: the order of merge()
    on conflict ("entityId", "entityType") do update set "updatedAt" = c."updatedAt" where false;

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

    -- Then, in a new statement, truth and ledger as they are now.
    select array(
        select d
        from entity_stats.drift(staging => false) as d
        where d."entityType" = recalculate_entities.entity_type and d."entityId" = any(entity_ids)
    )
    into net;

    corrected_at := clock_timestamp();
    return query
    insert into entity_stats.correction ("correctedAt", "entityId", "entityType", "column", cached, actual)
    select corrected_at, d."entityId", d."entityType", cell."column", cell.cached, cell.actual
    from unnest(net) as d
    left join entity_stats.cached() as c
        on d."entityId" = c."entityId" and d."entityType" = c."entityType" and d.periods = c.periods
    cross join lateral entity_stats.cells(d, row(c.*)::entity_stats.delta) as cell
    returning *;

    perform entity_stats.merge(deltas => net);

    -- merge() files whom it changes; the others may have been forgotten as well.
    perform entity_stats.file_leaders(array_fill(entity_type, array[cardinality(entity_ids)]), entity_ids);
end
$$;

comment on function entity_stats.recalculate_entities(text, bigint[]) is
'Recalculates entities of one type (character, corporation, alliance) from the source in one transaction; returns and keeps the cells it changed.';
