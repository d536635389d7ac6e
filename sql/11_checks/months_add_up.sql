create view entity_stats.months_add_up as
select
    a."entityType",
    a."entityId",
    a.date as month,
    sum(a.sign * a.kills) as kills,
    sum(a.sign * a.losses) as losses,
    sum(a.sign * a."iskDestroyed") as "iskDestroyed",
    sum(a.sign * a."iskLost") as "iskLost",
    sum(a.sign * a."soloKills") as "soloKills",
    sum(a.sign * a."soloLosses") as "soloLosses",
    sum(a.sign * a."npcKills") as "npcKills",
    sum(a.sign * a."npcLosses") as "npcLosses"
from entity_stats.history as h
cross join
    lateral (
        -- What folds have added to the cache is in the months, late, or of a day that is not closed and not pending.
        select
            1 as sign, null::date as date, c."entityType", c."entityId", c.kills, c.losses, c."iskDestroyed", c."iskLost",
            c."soloKills", c."soloLosses", c."npcKills", c."npcLosses"
        from entity_stats.cached() as c
        where c.periods = 1
        union all
        select
            -1, null, m."entityType", m."entityId", m.kills, m.losses, m."iskDestroyed", m."iskLost",
            m."soloKills", m."soloLosses", m."npcKills", m."npcLosses"
        from entity_stats.month as m
        where m.month < h."closedTo"
        union all
        select
            -1, null, l."entityType", l."entityId", l.kills, l.losses, l."iskDestroyed", l."iskLost",
            l."soloKills", l."soloLosses", l."npcKills", l."npcLosses"
        from entity_stats.late as l
        union all
        select
            -1, null, t."entityType", t."entityId", t.kills, t.losses, t."iskDestroyed", t."iskLost",
            t."soloKills", t."soloLosses", t."npcKills", t."npcLosses"
        from entity_stats.history_truth('month', h."closedTo", null) as t
        union all
        select
            1, m.month, m."entityType", m."entityId", m.kills, m.losses, m."iskDestroyed", m."iskLost",
            m."soloKills", m."soloLosses", m."npcKills", m."npcLosses"
        from entity_stats.month as m
        where m.month >= h."daysFrom" and m.month < h."closedTo"
        union all
        select
            -1, date_trunc('month', d.day::timestamp)::date, d."entityType", d."entityId", d.kills, d.losses, d."iskDestroyed", d."iskLost",
            d."soloKills", d."soloLosses", d."npcKills", d."npcLosses"
        from entity_stats.day as d
        where d.day >= h."daysFrom" and d.day < h."closedTo"
    ) as a
where isfinite(entity_stats.closed_to())
group by a."entityType", a."entityId", a.date
having
    (
        sum(a.sign * a.kills), sum(a.sign * a.losses), sum(a.sign * a."iskDestroyed"), sum(a.sign * a."iskLost"),
        sum(a.sign * a."soloKills"), sum(a.sign * a."soloLosses"), sum(a.sign * a."npcKills"), sum(a.sign * a."npcLosses")
    ) <> (0, 0, 0, 0, 0, 0, 0, 0);

comment on view entity_stats.months_add_up is
'full: The months of an entity, and the killmails since the last closed day, add up to its all-time figures; where days are kept, the
days add up to their months. The rows show what the months, or the days, lack (negative: what they have too much).

What to do: history_is_exact names the months that are wrong; characters_are_exact, corporations_are_exact and
alliances_are_exact name the entities. Count months again: select entity_stats.recount_month(month); entities:
select entity_stats.recalculate(id, type).';
