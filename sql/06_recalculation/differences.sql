-- Truth against cache, cell by cell. The whole source is aggregated: this takes as long as a backfill that writes nothing.
create or replace function entity_stats.cells(drift entity_stats.delta, cached entity_stats.delta)
returns table ("column" text, cached text, actual text)
language sql stable
begin atomic
    select
        cell.name || case
            when cell.name like 'last%' then ''
            when (drift).periods = 1 then 'All'
            else (select w.period from entity_stats.time_window as w where w.bit = (cells.drift).periods)
        end as "column",
        cell.cached,
        cell.actual
    from (
        values
            (
                'kills', coalesce((cached).kills, 0)::text, (coalesce((cached).kills, 0) + (drift).kills)::text,
                (drift).kills <> 0
            ),
            (
                'losses', coalesce((cached).losses, 0)::text, (coalesce((cached).losses, 0) + (drift).losses)::text,
                (drift).losses <> 0
            ),
            (
                'iskDestroyed', coalesce((cached)."iskDestroyed", 0)::text,
                (coalesce((cached)."iskDestroyed", 0) + (drift)."iskDestroyed")::text, (drift)."iskDestroyed" <> 0
            ),
            (
                'iskLost', coalesce((cached)."iskLost", 0)::text, (coalesce((cached)."iskLost", 0) + (drift)."iskLost")::text,
                (drift)."iskLost" <> 0
            ),
            (
                'soloKills', coalesce((cached)."soloKills", 0)::text, (coalesce((cached)."soloKills", 0) + (drift)."soloKills")::text,
                (drift)."soloKills" <> 0
            ),
            (
                'soloLosses', coalesce((cached)."soloLosses", 0)::text,
                (coalesce((cached)."soloLosses", 0) + (drift)."soloLosses")::text, (drift)."soloLosses" <> 0
            ),
            (
                'npcKills', coalesce((cached)."npcKills", 0)::text, (coalesce((cached)."npcKills", 0) + (drift)."npcKills")::text,
                (drift)."npcKills" <> 0
            ),
            (
                'npcLosses', coalesce((cached)."npcLosses", 0)::text, (coalesce((cached)."npcLosses", 0) + (drift)."npcLosses")::text,
                (drift)."npcLosses" <> 0
            ),
            (
                'lastKillTime', (cached)."lastKillTime"::text, (drift)."lastKillTime"::text,
                (drift).periods = 1 and (cached)."lastKillTime" is distinct from (drift)."lastKillTime"
            ),
            (
                'lastLossTime', (cached)."lastLossTime"::text, (drift)."lastLossTime"::text,
                (drift).periods = 1 and (cached)."lastLossTime" is distinct from (drift)."lastLossTime"
            )
    ) as cell (name, cached, actual, drifts)
    where cell.drifts;
end;

comment on function entity_stats.cells(entity_stats.delta, entity_stats.delta) is
'The cells of one entity and period in which the cache differs from the truth, given the drift and what is cached (null: no row).';

create or replace function entity_stats.differing_cells()
returns table ("entityId" bigint, "entityType" text, "column" text, cached text, actual text)
language sql stable
begin atomic
    select d."entityId", d."entityType", cell."column", cell.cached, cell.actual
    from entity_stats.drift(false) as d
    left join entity_stats.cached() as c
        on d."entityId" = c."entityId" and d."entityType" = c."entityType" and d.periods = c.periods
    cross join lateral entity_stats.cells(d, row(c.*)::entity_stats.delta) as cell;
end;

comment on function entity_stats.differing_cells() is
'differences(), inlined into the calling query: filter by type and id to use the source''s indexes.';

create or replace function entity_stats.differing_entities()
returns table ("entityId" bigint, "entityType" text, wrong text)
language sql stable
begin atomic
    select
        d."entityId",
        d."entityType",
        string_agg(
            format('%s is %s, not %s', d."column", coalesce(d.cached, 'empty'), coalesce(d.actual, 'empty')), '; ' order by d."column"
        ) as wrong
    from entity_stats.differing_cells() as d
    group by d."entityId", d."entityType";
end;

comment on function entity_stats.differing_entities() is
'differing_cells() in words, a row per entity. Inlined into the calling query: filter by type and id to use the source''s indexes.';

create or replace function entity_stats.differences()
returns table ("entityId" bigint, "entityType" text, "column" text, cached text, actual text)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off -- hundreds of partitions, each compiled, took eight times as long as the query
set work_mem = '64MB'
begin atomic
    select d.* from entity_stats.differing_cells() as d;
end;

comment on function entity_stats.differences() is
'Every cell of the cache that is not truth minus pending, with the stored cutoffs: no row means exact. cached and actual as text; ISK, UTC. Compares everything, whatever the caller filters: for a few entities ask differing_cells().';
