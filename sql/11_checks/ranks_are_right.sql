create view entity_stats.ranks_are_right as
with drawn as materialized (
    select
        k."entityType",
        k.period,
        k.settled::text::bigint as settled,
        k.entities,
        k.efficient,
        r."entityId",
        r."killsRank",
        r."iskRank",
        r."efficiencyRank",
        r.kills,
        r.isk,
        r.efficiency
    from entity_stats.ranking as k
    cross join
        lateral (
            select l.*
            from entity_stats.rank as l
            where l."entityType" = k."entityType" and l.period = k.period
            order by hashint8extended(l."entityId", date_part('epoch', date_trunc('day', now() at time zone 'UTC'))::bigint), l."entityId"
            limit 5
        ) as r
    where public.is_stats_cache_populated()
),

-- The sample's figures beside all of their list, which is read once.
recounted as (
    select
        d."entityType",
        d.period,
        d."entityId",
        count(*) filter (where r.kills > d.kills) + 1 as "killsRank",
        count(*) filter (where r.isk > d.isk) + 1 as "iskRank",
        case
            when d.kills >= entity_stats.efficient_kills()
                then count(*) filter (where r.kills >= entity_stats.efficient_kills() and r.efficiency > d.efficiency) + 1
        end as "efficiencyRank",
        count(*) as entities,
        count(*) filter (where r.kills >= entity_stats.efficient_kills()) as efficient
    from drawn as d
    inner join entity_stats.rank as r on d."entityType" = r."entityType" and d.period = r.period
    group by d."entityType", d.period, d."entityId", d.kills, d.isk, d.efficiency
),

-- A row of the cache is the one that was ranked when the transaction that wrote it had ended by then. Rows have the last 32 bits of
-- its number: the newest number that is not yet to come is meant. After a restore on a server whose numbers are lower, nothing is
-- said of the figures until the next ranking.
unchanged as (
    select
        d."entityType",
        d.period,
        d."entityId",
        s.kills,
        s."iskDestroyed" as isk,
        s.efficiency
    from drawn as d
    inner join entity_stats.time_window as w on d.period = w.period
    inner join public.entity_stats_cache as c on d."entityId" = c."entityId" and d."entityType" = c."entityType"
    cross join (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next) as n
    cross join lateral (select (n.next >> 32 << 32) + c.xmin::text::bigint as written) as x
    cross join
        lateral (
            select p.*
            from entity_stats.cached() as p
            where p."entityId" = c."entityId" and p."entityType" = c."entityType" and p.periods = w.bit
        ) as m
    cross join lateral entity_stats.in_scope(row(m.*)::entity_stats.delta, 'players') as s
    where
        x.written - case when x.written < n.next then 0 else 4294967296 end < d.settled
        and d.settled <= n.next
)

select
    d."entityId",
    d."entityType",
    d.period,
    d."killsRank",
    r."killsRank" as "recountedKillsRank",
    d."iskRank",
    r."iskRank" as "recountedIskRank",
    d."efficiencyRank",
    r."efficiencyRank" as "recountedEfficiencyRank",
    u.kills - d.kills as "killsMissing",
    u.isk - d.isk as "iskMissing",
    u.efficiency - d.efficiency as "efficiencyMissing",
    r.entities - d.entities as "entitiesMissing",
    r.efficient - d.efficient as "efficientMissing"
from drawn as d
inner join recounted as r on d."entityType" = r."entityType" and d.period = r.period and d."entityId" = r."entityId"
left join unchanged as u on d."entityType" = u."entityType" and d.period = u.period and d."entityId" = u."entityId"
where
    (d."killsRank", d."iskRank", d.entities, d.efficient) <> (r."killsRank", r."iskRank", r.entities, r.efficient)
    or d."efficiencyRank" is distinct from r."efficiencyRank"
    or (d.kills, d.isk, d.efficiency) <> (u.kills, u.isk, u.efficiency);

comment on view entity_stats.ranks_are_right is
'fail: Every rank equals a recount of the figures that were ranked, in a sample of five entities of each type and period, which is
drawn at random each day (UTC). These figures equal the cache''s, where its row has not changed since it was ranked.

Ranks are those of the last cleanup: later changes of the cache do not break this claim.

What to do: call entity_stats.rank_entities(): it makes all ranks again. If a claim about exactness fails as well, repair that
first. Otherwise something else has written to entity_stats.rank.';
