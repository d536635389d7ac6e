-- The judge of leaderboards and ranks: what each entity has in each period and scope, and its ranks, counted again from
-- public.killmails. Written from the documentation, calling nothing of the project: it reads the killmails and the stored cutoffs.
with
party as (
    select
        p."entityId",
        p."entityType",
        p.side,
        k."killmailTime",
        coalesce(k.solo, false) as solo,
        coalesce(k.npc, false) as npc,
        case
            when k."totalValue" in ('NaN', 'Infinity', '-Infinity') then 0
            when k."totalValue" is null then 0
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

cutoff as (
    select
        w.period,
        w.cutoff
    from entity_stats.time_window as w
    limit 4
),

-- Whoever has only kills that no player took part in has no kills, no ISK and no solo kills among players.
counted as (
    select
        c.scope,
        p."entityId",
        p."entityType",
        w.period,
        count(*) filter (where p.side = 'kill' and (c.scope = 'all' or not p.npc)) as kills,
        count(*) filter (where p.side = 'loss') as losses,
        case
            when c.scope = 'all' or bool_or(p.side = 'kill' and not p.npc) then coalesce(sum(p.isk) filter (where p.side = 'kill'), 0)
            else 0
        end as "iskDestroyed",
        coalesce(sum(p.isk) filter (where p.side = 'loss'), 0) as "iskLost",
        case
            when c.scope = 'all' or bool_or(p.side = 'kill' and not p.npc) then count(*) filter (where p.side = 'kill' and p.solo)
            else 0
        end as "soloKills",
        count(*) filter (where p.side = 'loss' and p.solo) as "soloLosses",
        count(*) filter (where p.side = 'kill' and p.npc) as "npcKills",
        count(*) filter (where p.side = 'loss' and p.npc) as "npcLosses"
    from party as p
    inner join cutoff as w on p."killmailTime" >= w.cutoff
    cross join (values ('all'), ('players')) as c (scope)
    where c.scope = 'all' or p."entityType" <> 'corporation' or p."entityId" < 1000000 or p."entityId" > 1999999
    group by c.scope, p."entityId", p."entityType", w.period
),

newest as (
    select
        p."entityId",
        p."entityType",
        max(p."killmailTime") filter (where p.side = 'kill') at time zone 'UTC' as "lastKillTime",
        max(p."killmailTime") filter (where p.side = 'loss') at time zone 'UTC' as "lastLossTime"
    from party as p
    group by p."entityId", p."entityType"
),

derived as (
    select
        c.*,
        case
            when c."iskDestroyed" = 0 and c."iskLost" = 0 then 0
            else round(100 * c."iskDestroyed" / (c."iskDestroyed" + c."iskLost"), 4)
        end as efficiency,
        case when c.losses = 0 then c.kills else round(c.kills::numeric / c.losses, 4) end as "killLossRatio",
        c.kills > 0 or c.losses > 0 as active,
        c.kills >= 10 as efficient
    from counted as c
)

select
    d.scope,
    d.period,
    d."entityId",
    d."entityType",
    d.kills,
    d.losses,
    d."iskDestroyed",
    d."iskLost",
    d.efficiency,
    d.efficiency as "iskEfficiency",
    d."killLossRatio",
    d."soloKills",
    d."soloLosses",
    d."npcKills",
    d."npcLosses",
    n."lastKillTime",
    n."lastLossTime",
    case when d.active then rank() over (partition by d.scope, d.period, d."entityType", d.active order by d.kills desc) end as "killsRank",
    case when d.active then rank() over (partition by d.scope, d.period, d."entityType", d.active order by d."iskDestroyed" desc) end as "iskRank",
    case
        when d.efficient then rank() over (partition by d.scope, d.period, d."entityType", d.efficient order by d.efficiency desc)
    end as "efficiencyRank"
from derived as d
inner join newest as n on d."entityId" = n."entityId" and d."entityType" = n."entityType";
