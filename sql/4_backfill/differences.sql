-- Truth against cache, cell by cell. The whole source is aggregated: this takes as long as a backfill that writes nothing.
create or replace function entity_stats.differences()
returns table ("entityId" bigint, "entityType" text, "column" text, cached text, actual text)
language sql stable
begin atomic
    select
        d."entityId",
        d."entityType",
        cell.name || case when cell.name like 'last%' then '' when d.periods = 1 then 'All' else w.period end as "column",
        cell.cached,
        cell.actual
    from entity_stats.drift(false) as d
    inner join entity_stats.time_window as w on d.periods = w.bit
    left join entity_stats.cached() as c
        on d."entityId" = c."entityId" and d."entityType" = c."entityType" and d.periods = c.periods
    cross join
        lateral (
        values
            ('kills', coalesce(c.kills, 0)::text, (coalesce(c.kills, 0) + d.kills)::text, d.kills <> 0),
            ('losses', coalesce(c.losses, 0)::text, (coalesce(c.losses, 0) + d.losses)::text, d.losses <> 0),
            (
                'iskDestroyed', coalesce(c."iskDestroyed", 0)::text, (coalesce(c."iskDestroyed", 0) + d."iskDestroyed")::text,
                d."iskDestroyed" <> 0
            ),
            ('iskLost', coalesce(c."iskLost", 0)::text, (coalesce(c."iskLost", 0) + d."iskLost")::text, d."iskLost" <> 0),
            ('soloKills', coalesce(c."soloKills", 0)::text, (coalesce(c."soloKills", 0) + d."soloKills")::text, d."soloKills" <> 0),
            ('soloLosses', coalesce(c."soloLosses", 0)::text, (coalesce(c."soloLosses", 0) + d."soloLosses")::text, d."soloLosses" <> 0),
            ('npcKills', coalesce(c."npcKills", 0)::text, (coalesce(c."npcKills", 0) + d."npcKills")::text, d."npcKills" <> 0),
            ('npcLosses', coalesce(c."npcLosses", 0)::text, (coalesce(c."npcLosses", 0) + d."npcLosses")::text, d."npcLosses" <> 0),
            (
                'lastKillTime', c."lastKillTime"::text, d."lastKillTime"::text,
                d.periods = 1 and c."lastKillTime" is distinct from d."lastKillTime"
            ),
            (
                'lastLossTime', c."lastLossTime"::text, d."lastLossTime"::text,
                d.periods = 1 and c."lastLossTime" is distinct from d."lastLossTime"
            )
        ) as cell (name, cached, actual, drifts)
    where cell.drifts;
end;

comment on function entity_stats.differences() is
'Every cell of the cache that is not truth minus pending, with the stored cutoffs: no row means exact. cached and actual as text; ISK, UTC.';
