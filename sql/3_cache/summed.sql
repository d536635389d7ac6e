-- What to add to each column of the cache, one row per entity: from deltas, or from facts.
-- Facts that all count in the same periods, as killmails that have just happened do and those that leave a window, need 8 sums;
-- deltas of any periods need 32, which take twice as long.
create or replace function entity_stats.summed(deltas entity_stats.delta[], facts entity_stats.ledger[], periods integer)
returns setof public.entity_stats_cache
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    in_all constant boolean := periods & 1 <> 0;
    in_90d constant boolean := periods & 2 <> 0;
    in_30d constant boolean := periods & 4 <> 0;
    in_14d constant boolean := periods & 8 <> 0;
begin
    if cardinality(facts) > 0 then
        return query
        select
            s."entityId",
            s."entityType",
            case when in_all then s.kills else 0 end as "killsAll",
            case when in_all then s.losses else 0 end as "lossesAll",
            case when in_all then s."iskDestroyed" else 0 end as "iskDestroyedAll",
            case when in_all then s."iskLost" else 0 end as "iskLostAll",
            case when in_all then s."soloKills" else 0 end as "soloKillsAll",
            case when in_all then s."soloLosses" else 0 end as "soloLossesAll",
            case when in_all then s."npcKills" else 0 end as "npcKillsAll",
            case when in_all then s."npcLosses" else 0 end as "npcLossesAll",
            case when in_90d then s.kills else 0 end as "kills90d",
            case when in_90d then s.losses else 0 end as "losses90d",
            case when in_90d then s."iskDestroyed" else 0 end as "iskDestroyed90d",
            case when in_90d then s."iskLost" else 0 end as "iskLost90d",
            case when in_90d then s."soloKills" else 0 end as "soloKills90d",
            case when in_90d then s."soloLosses" else 0 end as "soloLosses90d",
            case when in_90d then s."npcKills" else 0 end as "npcKills90d",
            case when in_90d then s."npcLosses" else 0 end as "npcLosses90d",
            case when in_30d then s.kills else 0 end as "kills30d",
            case when in_30d then s.losses else 0 end as "losses30d",
            case when in_30d then s."iskDestroyed" else 0 end as "iskDestroyed30d",
            case when in_30d then s."iskLost" else 0 end as "iskLost30d",
            case when in_30d then s."soloKills" else 0 end as "soloKills30d",
            case when in_30d then s."soloLosses" else 0 end as "soloLosses30d",
            case when in_30d then s."npcKills" else 0 end as "npcKills30d",
            case when in_30d then s."npcLosses" else 0 end as "npcLosses30d",
            case when in_14d then s.kills else 0 end as "kills14d",
            case when in_14d then s.losses else 0 end as "losses14d",
            case when in_14d then s."iskDestroyed" else 0 end as "iskDestroyed14d",
            case when in_14d then s."iskLost" else 0 end as "iskLost14d",
            case when in_14d then s."soloKills" else 0 end as "soloKills14d",
            case when in_14d then s."soloLosses" else 0 end as "soloLosses14d",
            case when in_14d then s."npcKills" else 0 end as "npcKills14d",
            case when in_14d then s."npcLosses" else 0 end as "npcLosses14d",
            s."lastKillTime",
            s."lastLossTime",
            now() at time zone 'UTC' as "updatedAt"
        from (
            select
                d."entityId",
                d."entityType",
                sum(d.kills::integer) as kills,
                sum(d.losses::integer) as losses,
                sum(d."iskDestroyed") as "iskDestroyed",
                sum(d."iskLost") as "iskLost",
                sum(d."soloKills"::integer) as "soloKills",
                sum(d."soloLosses"::integer) as "soloLosses",
                sum(d."npcKills"::integer) as "npcKills",
                sum(d."npcLosses"::integer) as "npcLosses",
                max(d."lastKillTime") as "lastKillTime",
                max(d."lastLossTime") as "lastLossTime"
            from entity_stats.deltas(facts) as d
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

comment on function entity_stats.summed(entity_stats.delta[], entity_stats.ledger[], integer) is
'Sums by entity, as rows to add to the cache: of facts, which all count in periods (time_window.bit, added up), else of deltas.';
