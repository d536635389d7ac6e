create view entity_stats.counters_are_possible as
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

comment on view entity_stats.counters_are_possible is
'fail: Every counter of the cache is possible: none is negative, there are no more solo or NPC killmails than killmails, and there is
no ISK without a killmail.

Entities with pending facts are left out: a deletion may be folded before the killmail that it deletes.

What to do: something other than the cache itself has written to public.entity_stats_cache; find out who (only
entity_stats_operator may). Recalculation repairs the rows: select entity_stats.recalculate(id, type), with the ids listed.';
