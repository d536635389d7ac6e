-- Every counter of the cache is possible: none is negative, solo and NPC killmails are not more than all, and there is no ISK
-- without a killmail.
--
-- Entities with pending facts are left out: a deletion may be folded before the killmail that it deletes.
--
-- What to do: somebody or something has written to public.entity_stats_cache but the cache itself; find out who (no role but
-- entity_stats_operator may). The rows are repaired by recalculation: select entity_stats.recalculate(id, type).
select
    c."entityId",
    c."entityType",
    w.period,
    c.kills,
    c.losses,
    c."iskDestroyed",
    c."iskLost",
    c."soloKills",
    c."soloLosses",
    c."npcKills",
    c."npcLosses"
from entity_stats.cached() as c
inner join entity_stats.time_window as w on c.periods = w.bit
where
    public.is_stats_cache_populated()
    and (
        least(c.kills, c.losses, c."soloKills", c."soloLosses", c."npcKills", c."npcLosses") < 0
        or greatest(c."soloKills", c."npcKills") > c.kills
        or greatest(c."soloLosses", c."npcLosses") > c.losses
        or (c.kills = 0 and c."iskDestroyed" <> 0)
        or (c.losses = 0 and c."iskLost" <> 0)
    )
    and not exists (
        select 1
        from entity_stats.pending(false) as p
        where p."entityId" = c."entityId" and p."entityType" = c."entityType"
    );
