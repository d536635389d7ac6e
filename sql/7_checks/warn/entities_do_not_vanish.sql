-- The cache has at least as many entities of each type as when the last run finished: nothing deletes its rows, not even those
-- of an entity whose killmails are all gone.
--
-- What to do: somebody has deleted rows of public.entity_stats_cache. The claims about exactness name the missing entities;
-- recalculation creates their rows again.
select
    l."entityType",
    l.entities as before,
    count(c.*) as now
from (
    select
        e.key as "entityType",
        e.value::bigint as entities
    from (
        select r.detail -> 'entities' as entities
        from entity_stats.run as r
        where r.detail ? 'entities'
        order by r.run desc
        limit 1
    ) as last_run
    cross join lateral jsonb_each_text(last_run.entities) as e
) as l
left join public.entity_stats_cache as c on l."entityType" = c."entityType"
where public.is_stats_cache_populated()
group by l."entityType", l.entities
having count(c.*) < l.entities;
