create view entity_stats.sampled_entities_are_exact as
with dice as materialized (
    select date_part('epoch', date_trunc('day', now() at time zone 'UTC'))::bigint as seed
    where public.is_stats_cache_populated()
),

moment as materialized (
    select h."from" + (h."to" - h."from") * (abs(hashint8extended(0, d.seed) % 1000) / 1000.0) as since
    from dice as d
    cross join (
        select
            min(k."killmailTime") as "from",
            max(k."killmailTime") as "to"
        from entity_stats.killmail() as k
        where isfinite(k."killmailTime")
    ) as h
),

drawn as materialized (
    (
        select
            c."entityType",
            c."entityId"
        from public.entity_stats_cache as c
        cross join dice as d
        order by hashint8extended(c."entityId", d.seed), c."entityId", c."entityType"
        limit 200
    )
    union
    select
        'character' as "entityType",
        p.id as "entityId"
    from (
        select k."victimCharacterId", k."topAttackerCharacterId"
        from entity_stats.killmail() as k
        where k."killmailTime" >= (select m.since from moment as m)
        order by k."killmailTime"
        limit 50
    ) as k
    cross join lateral (values (k."victimCharacterId"), (k."topAttackerCharacterId")) as p (id)
    where p.id <> 0
)

select d.*
from entity_stats.differing_entities() as d
where
    d."entityType" = 'character'
    and d."entityId" = any(array(select s."entityId" from drawn as s where s."entityType" = 'character'))
union all
select d.*
from entity_stats.differing_entities() as d
where
    d."entityType" = 'corporation'
    and d."entityId" = any(array(select s."entityId" from drawn as s where s."entityType" = 'corporation'))
union all
select d.*
from entity_stats.differing_entities() as d
where
    d."entityType" = 'alliance'
    and d."entityId" = any(array(select s."entityId" from drawn as s where s."entityType" = 'alliance'));

comment on view entity_stats.sampled_entities_are_exact is
'fail: Every figure, including all-time ones and times, equals a recount of killmails for a sample: 200 entities of the cache, and the
characters of 50 killmails after a random moment of the history. Each day (UTC) has its own sample; checks on the same day use
the same one, so that a second check sees what the first has found.

What to do: the cleanup repairs up to 100 entities by itself; for more: call entity_stats.backfill(rebuild => true). Then find
the cause: killmails written with triggers disabled, a partition dropped or attached with its rows, a manual edit of the cache.
If there is none, it is a bug: please report the rows, and what the server was doing.';
