create view entity_stats.entities_do_not_vanish as
select
    l."entityType",
    l.entities as before,
    count(c.*) as now
from (
    select e.*
    from (
        select r.*
        from entity_stats.run as r
        where r.characters is not null
        order by r.run desc
        limit 1
    ) as r
    cross join lateral (
        values ('character', r.characters), ('corporation', r.corporations), ('alliance', r.alliances)
    ) as e ("entityType", entities)
) as l
left join public.entity_stats_cache as c on l."entityType" = c."entityType"
where public.is_stats_cache_populated()
group by l."entityType", l.entities
having count(c.*) < l.entities;

comment on view entity_stats.entities_do_not_vanish is
'warn: The cache has at least as many entities of each type as when the last run finished: nothing deletes its rows, not even those
of an entity whose killmails are all gone.

What to do: somebody has deleted rows of public.entity_stats_cache. The claims about exactness name the missing entities.
Recalculation creates their rows again: select entity_stats.recalculate(id, type), with the ids listed.';
