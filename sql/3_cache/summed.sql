-- Deltas -> what to add to each column of the cache, one row per entity.
-- A killmail that has just happened counts in every period: 8 sums say then what takes 32 otherwise, in half the time.
create or replace function entity_stats.summed(deltas entity_stats.delta[], fresh entity_stats.ledger[])
returns setof public.entity_stats_cache
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if cardinality(fresh) > 0 then
        return query
        select
            s."entityId",
            s."entityType",
            s.kills as "killsAll",
            s.losses as "lossesAll",
            s."iskDestroyed" as "iskDestroyedAll",
            s."iskLost" as "iskLostAll",
            s."soloKills" as "soloKillsAll",
            s."soloLosses" as "soloLossesAll",
            s."npcKills" as "npcKillsAll",
            s."npcLosses" as "npcLossesAll",
            s.kills as "kills90d",
            s.losses as "losses90d",
            s."iskDestroyed" as "iskDestroyed90d",
            s."iskLost" as "iskLost90d",
            s."soloKills" as "soloKills90d",
            s."soloLosses" as "soloLosses90d",
            s."npcKills" as "npcKills90d",
            s."npcLosses" as "npcLosses90d",
            s.kills as "kills30d",
            s.losses as "losses30d",
            s."iskDestroyed" as "iskDestroyed30d",
            s."iskLost" as "iskLost30d",
            s."soloKills" as "soloKills30d",
            s."soloLosses" as "soloLosses30d",
            s."npcKills" as "npcKills30d",
            s."npcLosses" as "npcLosses30d",
            s.kills as "kills14d",
            s.losses as "losses14d",
            s."iskDestroyed" as "iskDestroyed14d",
            s."iskLost" as "iskLost14d",
            s."soloKills" as "soloKills14d",
            s."soloLosses" as "soloLosses14d",
            s."npcKills" as "npcKills14d",
            s."npcLosses" as "npcLosses14d",
            s."lastKillTime",
            s."lastLossTime",
            now() at time zone 'UTC' as "updatedAt"
        from (
            select
                d."entityId",
                d."entityType",
                sum(d.kills)::bigint as kills,
                sum(d.losses)::bigint as losses,
                sum(d."iskDestroyed") as "iskDestroyed",
                sum(d."iskLost") as "iskLost",
                sum(d."soloKills")::bigint as "soloKills",
                sum(d."soloLosses")::bigint as "soloLosses",
                sum(d."npcKills")::bigint as "npcKills",
                sum(d."npcLosses")::bigint as "npcLosses",
                max(d."lastKillTime") as "lastKillTime",
                max(d."lastLossTime") as "lastLossTime"
            from entity_stats.deltas(fresh) as d
            group by d."entityId", d."entityType"
        ) as s;
        return;
    end if;

    return query
    select
        d."entityId",
        d."entityType",
        coalesce(sum(d.kills) filter (where d.periods & 1 <> 0), 0)::bigint as "killsAll",
        coalesce(sum(d.losses) filter (where d.periods & 1 <> 0), 0)::bigint as "lossesAll",
        coalesce(sum(d."iskDestroyed") filter (where d.periods & 1 <> 0), 0) as "iskDestroyedAll",
        coalesce(sum(d."iskLost") filter (where d.periods & 1 <> 0), 0) as "iskLostAll",
        coalesce(sum(d."soloKills") filter (where d.periods & 1 <> 0), 0)::bigint as "soloKillsAll",
        coalesce(sum(d."soloLosses") filter (where d.periods & 1 <> 0), 0)::bigint as "soloLossesAll",
        coalesce(sum(d."npcKills") filter (where d.periods & 1 <> 0), 0)::bigint as "npcKillsAll",
        coalesce(sum(d."npcLosses") filter (where d.periods & 1 <> 0), 0)::bigint as "npcLossesAll",
        coalesce(sum(d.kills) filter (where d.periods & 2 <> 0), 0)::bigint as "kills90d",
        coalesce(sum(d.losses) filter (where d.periods & 2 <> 0), 0)::bigint as "losses90d",
        coalesce(sum(d."iskDestroyed") filter (where d.periods & 2 <> 0), 0) as "iskDestroyed90d",
        coalesce(sum(d."iskLost") filter (where d.periods & 2 <> 0), 0) as "iskLost90d",
        coalesce(sum(d."soloKills") filter (where d.periods & 2 <> 0), 0)::bigint as "soloKills90d",
        coalesce(sum(d."soloLosses") filter (where d.periods & 2 <> 0), 0)::bigint as "soloLosses90d",
        coalesce(sum(d."npcKills") filter (where d.periods & 2 <> 0), 0)::bigint as "npcKills90d",
        coalesce(sum(d."npcLosses") filter (where d.periods & 2 <> 0), 0)::bigint as "npcLosses90d",
        coalesce(sum(d.kills) filter (where d.periods & 4 <> 0), 0)::bigint as "kills30d",
        coalesce(sum(d.losses) filter (where d.periods & 4 <> 0), 0)::bigint as "losses30d",
        coalesce(sum(d."iskDestroyed") filter (where d.periods & 4 <> 0), 0) as "iskDestroyed30d",
        coalesce(sum(d."iskLost") filter (where d.periods & 4 <> 0), 0) as "iskLost30d",
        coalesce(sum(d."soloKills") filter (where d.periods & 4 <> 0), 0)::bigint as "soloKills30d",
        coalesce(sum(d."soloLosses") filter (where d.periods & 4 <> 0), 0)::bigint as "soloLosses30d",
        coalesce(sum(d."npcKills") filter (where d.periods & 4 <> 0), 0)::bigint as "npcKills30d",
        coalesce(sum(d."npcLosses") filter (where d.periods & 4 <> 0), 0)::bigint as "npcLosses30d",
        coalesce(sum(d.kills) filter (where d.periods & 8 <> 0), 0)::bigint as "kills14d",
        coalesce(sum(d.losses) filter (where d.periods & 8 <> 0), 0)::bigint as "losses14d",
        coalesce(sum(d."iskDestroyed") filter (where d.periods & 8 <> 0), 0) as "iskDestroyed14d",
        coalesce(sum(d."iskLost") filter (where d.periods & 8 <> 0), 0) as "iskLost14d",
        coalesce(sum(d."soloKills") filter (where d.periods & 8 <> 0), 0)::bigint as "soloKills14d",
        coalesce(sum(d."soloLosses") filter (where d.periods & 8 <> 0), 0)::bigint as "soloLosses14d",
        coalesce(sum(d."npcKills") filter (where d.periods & 8 <> 0), 0)::bigint as "npcKills14d",
        coalesce(sum(d."npcLosses") filter (where d.periods & 8 <> 0), 0)::bigint as "npcLosses14d",
        max(d."lastKillTime") as "lastKillTime",
        max(d."lastLossTime") as "lastLossTime",
        now() at time zone 'UTC' as "updatedAt"
    from unnest(deltas) as d
    group by d."entityId", d."entityType";
end
$$;

comment on function entity_stats.summed(entity_stats.delta[], entity_stats.ledger[]) is
'Sums by entity, as rows to add to the cache: of fresh facts, which came and count in every period, else of deltas.';
