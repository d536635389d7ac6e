-- The time of the last kill and of the last loss is right for every entity: none without a killmail, within the windows that
-- have one, outside of those that have none, and to the microsecond where it lies in the last 90 days.
--
-- Older times are compared with killmails for the day's sample, and for all by full verification. Entities with pending
-- facts are left out.
--
-- What to do: as for counters_are_possible; the rows are repaired by recalculation.
select
    c."entityId",
    c."entityType",
    w.period,
    c.kills,
    c."lastKillTime",
    t."lastKillTime" as "actualKillTime",
    c.losses,
    c."lastLossTime",
    t."lastLossTime" as "actualLossTime"
from entity_stats.cached() as c
inner join entity_stats.time_window as w on c.periods = w.bit
left join lateral entity_stats.totals((select v.cutoff from entity_stats.time_window as v where v.period = '90d'), null) as t
    on c."entityId" = t."entityId" and c."entityType" = t."entityType" and w.period = '90d'
where
    public.is_stats_cache_populated()
    and (
        (c.kills > 0) <> coalesce(c."lastKillTime" >= w.cutoff at time zone 'UTC', false)
        or (c.losses > 0) <> coalesce(c."lastLossTime" >= w.cutoff at time zone 'UTC', false)
        or c."lastKillTime" <> t."lastKillTime"
        or c."lastLossTime" <> t."lastLossTime"
    )
    and not exists (
        select 1
        from entity_stats.pending(false) as p
        where p."entityId" = c."entityId" and p."entityType" = c."entityType"
    );
