-- The cache read as deltas, one row per entity and period: the one place that reads its columns back.
-- A branch per period: with a constant in periods nothing is planned or read but that period's columns, by primary key.
create or replace function entity_stats.cached()
returns setof entity_stats.delta
language sql stable
begin atomic
    select
        c."entityType", c."entityId", 1 as periods, c."killsAll" as kills, c."lossesAll" as losses,
        c."iskDestroyedAll" as "iskDestroyed", c."iskLostAll" as "iskLost", c."soloKillsAll" as "soloKills",
        c."soloLossesAll" as "soloLosses", c."npcKillsAll" as "npcKills", c."npcLossesAll" as "npcLosses",
        c."lastKillTime", c."lastLossTime", null::timestamp as "staleKillTime", null::timestamp as "staleLossTime"
    from public.entity_stats_cache as c
    union all
    select
        c."entityType", c."entityId", 2, c."kills90d", c."losses90d", c."iskDestroyed90d", c."iskLost90d",
        c."soloKills90d", c."soloLosses90d", c."npcKills90d", c."npcLosses90d", c."lastKillTime", c."lastLossTime", null, null
    from public.entity_stats_cache as c
    union all
    select
        c."entityType", c."entityId", 4, c."kills30d", c."losses30d", c."iskDestroyed30d", c."iskLost30d",
        c."soloKills30d", c."soloLosses30d", c."npcKills30d", c."npcLosses30d", c."lastKillTime", c."lastLossTime", null, null
    from public.entity_stats_cache as c
    union all
    select
        c."entityType", c."entityId", 8, c."kills14d", c."losses14d", c."iskDestroyed14d", c."iskLost14d",
        c."soloKills14d", c."soloLosses14d", c."npcKills14d", c."npcLosses14d", c."lastKillTime", c."lastLossTime", null, null
    from public.entity_stats_cache as c;
end;

comment on function entity_stats.cached() is
'The cache as deltas, one per entity and period; the times are all-time in each. Inlined into the calling query.';
