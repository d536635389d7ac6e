create view entity_stats.last_times_are_right as
select
    f."entityId",
    f."entityType",
    f.period,
    f.kills,
    f."lastKillTime",
    f."actualKillTime",
    f.losses,
    f."lastLossTime",
    f."actualLossTime"
from (
    select
        c."entityId", c."entityType", w.period, c.kills, c."lastKillTime", null::timestamp as "actualKillTime",
        c.losses, c."lastLossTime", null::timestamp as "actualLossTime"
    from entity_stats.cached() as c
    inner join entity_stats.time_window as w on c.periods = w.bit
    where
        (c.kills > 0) <> coalesce(c."lastKillTime" >= w.cutoff at time zone 'UTC', false)
        or (c.losses > 0) <> coalesce(c."lastLossTime" >= w.cutoff at time zone 'UTC', false)
    union all
    select
        c."entityId", c."entityType", '90d' as period, c.kills, c."lastKillTime", t."lastKillTime" as "actualKillTime",
        c.losses, c."lastLossTime", t."lastLossTime" as "actualLossTime"
    from entity_stats.cached() as c
    inner join entity_stats.truth() as t on c."entityId" = t."entityId" and c."entityType" = t."entityType"
    where c.periods = 2 and t.periods = 2 and (c."lastKillTime" <> t."lastKillTime" or c."lastLossTime" <> t."lastLossTime")
) as f
where
    public.is_stats_cache_populated()
    and not exists (
        select 1
        from entity_stats.pending(false) as p
        where p."entityId" = f."entityId" and p."entityType" = f."entityType"
    );

comment on view entity_stats.last_times_are_right is
'fail: The times of the last kill and of the last loss are right for every entity: null without a killmail, inside the windows that
have one, outside those that have none, and exact to the microsecond if they lie in the last 90 days.

Older times are compared with killmails for the day''s sample only, and for all entities by entity_stats_verify. Entities with
pending facts are left out.

What to do: something other than the cache itself has written to public.entity_stats_cache; find out who (only
entity_stats_operator may). Recalculation repairs the rows: select entity_stats.recalculate(id, type), with the ids listed.';
