-- What a read of any entity in any period must return, counted again from public.killmails: written from the specification, calling
-- nothing of the project. It reads the killmails and the stored cutoffs, nothing else.
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

counted as (
    select
        p."entityId",
        p."entityType",
        w.period,
        count(*) filter (where p.side = 'kill' and p."killmailTime" >= w.cutoff) as kills,
        count(*) filter (where p.side = 'loss' and p."killmailTime" >= w.cutoff) as losses,
        coalesce(sum(p.isk) filter (where p.side = 'kill' and p."killmailTime" >= w.cutoff), 0) as "iskDestroyed",
        coalesce(sum(p.isk) filter (where p.side = 'loss' and p."killmailTime" >= w.cutoff), 0) as "iskLost",
        count(*) filter (where p.side = 'kill' and p.solo and p."killmailTime" >= w.cutoff) as "soloKills",
        count(*) filter (where p.side = 'loss' and p.solo and p."killmailTime" >= w.cutoff) as "soloLosses",
        count(*) filter (where p.side = 'kill' and p.npc and p."killmailTime" >= w.cutoff) as "npcKills",
        count(*) filter (where p.side = 'loss' and p.npc and p."killmailTime" >= w.cutoff) as "npcLosses",
        max(p."killmailTime") filter (where p.side = 'kill') at time zone 'UTC' as "lastKillTime",
        max(p."killmailTime") filter (where p.side = 'loss') at time zone 'UTC' as "lastLossTime"
    from party as p
    cross join cutoff as w
    group by p."entityId", p."entityType", w.period
)

select
    c.period,
    c."entityId",
    c."entityType",
    c.kills,
    c.losses,
    c."iskDestroyed",
    c."iskLost",
    case
        when c."iskDestroyed" = 0 and c."iskLost" = 0 then 0
        else round(100 * c."iskDestroyed" / (c."iskDestroyed" + c."iskLost"), 4)
    end as efficiency,
    case
        when c."iskDestroyed" = 0 and c."iskLost" = 0 then 0
        else round(100 * c."iskDestroyed" / (c."iskDestroyed" + c."iskLost"), 4)
    end as "iskEfficiency",
    case when c.losses = 0 then c.kills else round(c.kills::numeric / c.losses, 4) end as "killLossRatio",
    c."soloKills",
    c."soloLosses",
    c."npcKills",
    c."npcLosses",
    c."lastKillTime",
    c."lastLossTime"
from counted as c;
