-- Every figure of the last 90, 30 and 14 days equals a recount of killmails, for every entity, to the last digit. Facts that
-- are pending are taken into account. The rows show what is missing in the cache (negative: what is too much).
--
-- What to do: few entities are repaired by recalculation, many only by call entity_stats.backfill(rebuild => true). Then find the
-- cause: killmails written with triggers disabled, a partition dropped or attached with its rows, a hand in the cache. If
-- there is none, it is a bug: please report the rows, and what the server was doing.
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
from entity_stats.drift(false) as d
inner join entity_stats.time_window as w on d.periods = w.bit
where public.is_stats_cache_populated() and d.periods > 1
group by d."entityId", d."entityType";
