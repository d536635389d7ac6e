-- The judge: each cell of public.entity_stats_cache that is not what the specification says of public.killmails. Empty = exact.
-- Written from the specification alone: it calls nothing of the project and reads nothing else than the killmails, the cache and
-- the stored cutoffs, in one statement and so in one snapshot. Facts that are still pending are differences to it: drain them first.
with
-- The specification's six updates per killmail. An id that is null or 0 is nobody. Value and flags that are null count as 0 and false.
party as (
    select
        p."entityId",
        p."entityType",
        p.side,
        k."killmailTime",
        coalesce(k.solo, false) as solo,
        coalesce(k.npc, false) as npc,
        -- Binary floating point becomes decimal by way of double precision: real::numeric would keep six digits only.
        -- The branches are told apart at run time, so that one text serves each type that a site may have.
        case
            when k."totalValue" in ('NaN', 'Infinity', '-Infinity') then 0
            when k."totalValue" is null then 0
            when pg_typeof(k."totalValue") = 'numeric'::regtype then round(k."totalValue"::numeric, 2)
            else round(k."totalValue"::double precision::numeric, 2)
        end as isk
    from public.killmails as k
    cross join
        lateral (
            values
            ('character', 'kill', k."topAttackerCharacterId"),
            ('corporation', 'kill', k."topAttackerCorporationId"),
            ('alliance', 'kill', k."topAttackerAllianceId"),
            ('character', 'loss', k."victimCharacterId"),
            ('corporation', 'loss', k."victimCorporationId"),
            ('alliance', 'loss', k."victimAllianceId")
        ) as p ("entityType", side, "entityId")
    where p."entityId" is not null and p."entityId" <> 0
),

-- The specification's four. The limit tells the planner, which takes a table that was never analysed for a large one.
cutoff as (
    select
        w.period,
        w.cutoff
    from entity_stats.time_window as w
    where w.period in ('all', '90d', '30d', '14d')
    limit 4
),

-- A killmail is in every window whose cutoff it has reached.
expected as (
    select
        p."entityId",
        p."entityType",
        w.period,
        count(*) filter (where p.side = 'kill') as kills,
        count(*) filter (where p.side = 'loss') as losses,
        sum(p.isk) filter (where p.side = 'kill') as "iskDestroyed",
        sum(p.isk) filter (where p.side = 'loss') as "iskLost",
        count(*) filter (where p.side = 'kill' and p.solo) as "soloKills",
        count(*) filter (where p.side = 'loss' and p.solo) as "soloLosses",
        count(*) filter (where p.side = 'kill' and p.npc) as "npcKills",
        count(*) filter (where p.side = 'loss' and p.npc) as "npcLosses"
    from party as p
    inner join cutoff as w on p."killmailTime" >= w.cutoff
    group by p."entityId", p."entityType", w.period
),

cached as (
    select
        c."entityId",
        c."entityType"::text as "entityType",
        v.*
    from public.entity_stats_cache as c
    cross join lateral (
        values
        (
            'all', c."killsAll", c."lossesAll", c."iskDestroyedAll", c."iskLostAll",
            c."soloKillsAll", c."soloLossesAll", c."npcKillsAll", c."npcLossesAll"
        ),
        (
            '90d', c."kills90d", c."losses90d", c."iskDestroyed90d", c."iskLost90d",
            c."soloKills90d", c."soloLosses90d", c."npcKills90d", c."npcLosses90d"
        ),
        (
            '30d', c."kills30d", c."losses30d", c."iskDestroyed30d", c."iskLost30d",
            c."soloKills30d", c."soloLosses30d", c."npcKills30d", c."npcLosses30d"
        ),
        (
            '14d', c."kills14d", c."losses14d", c."iskDestroyed14d", c."iskLost14d",
            c."soloKills14d", c."soloLosses14d", c."npcKills14d", c."npcLosses14d"
        )
    ) as v (period, kills, losses, "iskDestroyed", "iskLost", "soloKills", "soloLosses", "npcKills", "npcLosses")
),

-- A missing row stands for zeros; a null in a row that exists is a difference.
counter_cell as (
    select
        coalesce(c."entityId", e."entityId") as "entityId",
        coalesce(c."entityType", e."entityType") as "entityType",
        m.metric || case coalesce(c.period, e.period) when 'all' then 'All' else coalesce(c.period, e.period) end as "column",
        case when c."entityId" is null then 0 else m.cached end as cached,
        coalesce(m.actual, 0) as actual
    from expected as e
    full join cached as c
        on e."entityId" = c."entityId" and e."entityType" = c."entityType" and e.period = c.period
    cross join lateral (
        values
        ('kills', c.kills::numeric, e.kills::numeric),
        ('losses', c.losses, e.losses),
        ('iskDestroyed', c."iskDestroyed", e."iskDestroyed"),
        ('iskLost', c."iskLost", e."iskLost"),
        ('soloKills', c."soloKills", e."soloKills"),
        ('soloLosses', c."soloLosses", e."soloLosses"),
        ('npcKills', c."npcKills", e."npcKills"),
        ('npcLosses', c."npcLosses", e."npcLosses")
    ) as m (metric, cached, actual)
),

-- The newest killmail of each side, whatever the window, as a UTC timestamp without time zone.
newest as (
    select
        p."entityId",
        p."entityType",
        max(p."killmailTime") filter (where p.side = 'kill') at time zone 'UTC' as "lastKillTime",
        max(p."killmailTime") filter (where p.side = 'loss') at time zone 'UTC' as "lastLossTime"
    from party as p
    group by p."entityId", p."entityType"
),

time_cell as (
    select
        coalesce(c."entityId", n."entityId") as "entityId",
        coalesce(c."entityType"::text, n."entityType") as "entityType",
        t."column",
        t.cached,
        t.actual
    from newest as n
    full join public.entity_stats_cache as c
        on n."entityId" = c."entityId" and n."entityType" = c."entityType"::text
    cross join lateral (
        values
        ('lastKillTime', c."lastKillTime", n."lastKillTime"),
        ('lastLossTime', c."lastLossTime", n."lastLossTime")
    ) as t ("column", cached, actual)
)

select
    "entityId",
    "entityType",
    "column",
    cached::text as cached,
    actual::text as actual
from counter_cell
where cached is distinct from actual
union all
select
    "entityId",
    "entityType",
    "column",
    cached::text as cached,
    actual::text as actual
from time_cell
where cached is distinct from actual
order by "entityType", "entityId", "column";
