create view entity_stats.windows_are_nested as
select
    c."entityId",
    c."entityType",
    concat_ws(' ', c."kills14d", c."kills30d", c."kills90d", c."killsAll") as "kills",
    concat_ws(' ', c."losses14d", c."losses30d", c."losses90d", c."lossesAll") as "losses",
    concat_ws(' ', c."soloKills14d", c."soloKills30d", c."soloKills90d", c."soloKillsAll") as "soloKills",
    concat_ws(' ', c."soloLosses14d", c."soloLosses30d", c."soloLosses90d", c."soloLossesAll") as "soloLosses",
    concat_ws(' ', c."npcKills14d", c."npcKills30d", c."npcKills90d", c."npcKillsAll") as "npcKills",
    concat_ws(' ', c."npcLosses14d", c."npcLosses30d", c."npcLosses90d", c."npcLossesAll") as "npcLosses",
    concat_ws(' ', c."iskDestroyed14d", c."iskDestroyed30d", c."iskDestroyed90d", c."iskDestroyedAll") as "iskDestroyed",
    concat_ws(' ', c."iskLost14d", c."iskLost30d", c."iskLost90d", c."iskLostAll") as "iskLost"
from public.entity_stats_cache as c
where
    public.is_stats_cache_populated()
    and (
        not (c."kills14d" <= c."kills30d" and c."kills30d" <= c."kills90d" and c."kills90d" <= c."killsAll")
        or not (c."losses14d" <= c."losses30d" and c."losses30d" <= c."losses90d" and c."losses90d" <= c."lossesAll")
        or not (c."soloKills14d" <= c."soloKills30d" and c."soloKills30d" <= c."soloKills90d" and c."soloKills90d" <= c."soloKillsAll")
        or not (c."soloLosses14d" <= c."soloLosses30d" and c."soloLosses30d" <= c."soloLosses90d" and c."soloLosses90d" <= c."soloLossesAll")
        or not (c."npcKills14d" <= c."npcKills30d" and c."npcKills30d" <= c."npcKills90d" and c."npcKills90d" <= c."npcKillsAll")
        or not (c."npcLosses14d" <= c."npcLosses30d" and c."npcLosses30d" <= c."npcLosses90d" and c."npcLosses90d" <= c."npcLossesAll")
        or (c."kills14d" = c."kills30d" and c."iskDestroyed14d" <> c."iskDestroyed30d")
        or (c."kills30d" = c."kills90d" and c."iskDestroyed30d" <> c."iskDestroyed90d")
        or (c."kills90d" = c."killsAll" and c."iskDestroyed90d" <> c."iskDestroyedAll")
        or (c."losses14d" = c."losses30d" and c."iskLost14d" <> c."iskLost30d")
        or (c."losses30d" = c."losses90d" and c."iskLost30d" <> c."iskLost90d")
        or (c."losses90d" = c."lossesAll" and c."iskLost90d" <> c."iskLostAll")
    )
    and not exists (
        select 1
        from entity_stats.pending(false) as p
        where p."entityId" = c."entityId" and p."entityType" = c."entityType"
    );

comment on view entity_stats.windows_are_nested is
'fail: No window has more than a longer one: 14 days <= 30 days <= 90 days <= all-time, for every counter. Windows with the same
killmails have the same ISK.

Entities with pending facts are left out: a deletion may be folded before the killmail that it deletes.

What to do: something other than the cache itself has written to public.entity_stats_cache; find out who (only
entity_stats_operator may). Recalculation repairs the rows: select entity_stats.recalculate(id, type), with the ids listed.';
