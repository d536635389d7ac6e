create view entity_stats.windows_are_exact as
select
    d."entityId",
    d."entityType",
    string_agg(
        concat_ws(
            ', ',
            'kills' || w.period || ' ' || nullif(d.kills, 0),
            'losses' || w.period || ' ' || nullif(d.losses, 0),
            'iskDestroyed' || w.period || ' ' || nullif(d."iskDestroyed", 0),
            'iskLost' || w.period || ' ' || nullif(d."iskLost", 0),
            'soloKills' || w.period || ' ' || nullif(d."soloKills", 0),
            'soloLosses' || w.period || ' ' || nullif(d."soloLosses", 0),
            'npcKills' || w.period || ' ' || nullif(d."npcKills", 0),
            'npcLosses' || w.period || ' ' || nullif(d."npcLosses", 0)
        ),
        ', ' order by w.bit
    ) as missing
from (
    -- As drift() does, without the times: only sums, and no row of the cache that adds nothing to them.
    select
        p."entityType",
        p."entityId",
        p.periods,
        sum(p.kills) as kills,
        sum(p.losses) as losses,
        sum(p."iskDestroyed") as "iskDestroyed",
        sum(p."iskLost") as "iskLost",
        sum(p."soloKills") as "soloKills",
        sum(p."soloLosses") as "soloLosses",
        sum(p."npcKills") as "npcKills",
        sum(p."npcLosses") as "npcLosses"
    from (
        select
            t."entityType", t."entityId", t.periods, t.kills, t.losses, t."iskDestroyed", t."iskLost",
            t."soloKills", t."soloLosses", t."npcKills", t."npcLosses"
        from entity_stats.truth() as t
        union all
        select
            l."entityType", l."entityId", l.periods, -l.kills, -l.losses, -l."iskDestroyed", -l."iskLost",
            -l."soloKills", -l."soloLosses", -l."npcKills", -l."npcLosses"
        from entity_stats.pending(false) as l
        union all
        select
            c."entityType", c."entityId", c.periods, -c.kills, -c.losses, -c."iskDestroyed", -c."iskLost",
            -c."soloKills", -c."soloLosses", -c."npcKills", -c."npcLosses"
        from entity_stats.cached() as c
        where
            (c.kills, c.losses, c."iskDestroyed", c."iskLost", c."soloKills", c."soloLosses", c."npcKills", c."npcLosses")
            <> (0, 0, 0, 0, 0, 0, 0, 0)
    ) as p
    where p.periods > 1
    group by p."entityType", p."entityId", p.periods
    having
        (
            sum(p.kills), sum(p.losses), sum(p."iskDestroyed"), sum(p."iskLost"),
            sum(p."soloKills"), sum(p."soloLosses"), sum(p."npcKills"), sum(p."npcLosses")
        ) <> (0, 0, 0, 0, 0, 0, 0, 0)
) as d
inner join entity_stats.time_window as w on d.periods = w.bit
where public.is_stats_cache_populated()
group by d."entityId", d."entityType";

comment on view entity_stats.windows_are_exact is
'fail: Every figure of the last 90, 30 and 14 days equals a recount of killmails, for every entity, to the last digit. Pending facts
are taken into account. The rows show what is missing in the cache (negative: what is too much).

What to do: the cleanup repairs up to 100 entities by itself; for more: call entity_stats.backfill(rebuild => true). Then find
the cause: killmails written with triggers disabled, a partition dropped or attached with its rows, a manual edit of the cache.
If there is none, it is a bug: please report the rows, and what the server was doing.';
