-- Every entity has been active in the last 180 days.
--
-- Most are not, in a killboard of some years: the count is what could be archived. An entity that has never killed, or never
-- lost, is inactive when its other time is old.
--
-- What to do: nothing. Entities without activity cost space only: no cleanup, no commit looks at them.
select
    c."entityType",
    count(*) as inactive
from public.entity_stats_cache as c
where
    public.is_stats_cache_populated()
    and coalesce(greatest(c."lastKillTime", c."lastLossTime"), '-infinity') < now() at time zone 'UTC' - interval '180 days'
group by c."entityType";
