-- The judge of the history: each cell of entity_stats.month and entity_stats.day that is not what public.killmails has for that UTC month
-- or day, as far as it is closed, and each entity whose months do not add up to its all-time row. Empty = exact. It calls nothing of the
-- project and reads nothing else than killmails, the cache, what is pending, the tables of the history and how far they go, in one statement
-- and so in one snapshot: it may be asked at any time. Where no history is kept there is nothing to judge.
with
closed as (
    select
        h."closedTo",
        h."daysFrom"
    from entity_stats.history as h
    where h."closedTo" is not null
),

-- An id that is null or 0 is nobody. Value and flags that are null count as 0 and false.
party as (
    select
        p."entityId",
        p."entityType",
        p.side,
        (k."killmailTime" at time zone 'UTC')::date as day,
        coalesce(k.solo, false) as solo,
        coalesce(k.npc, false) as npc,
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

-- What neither the history nor the cache has yet: of a fact, weight says whether its killmail came or went, and its ISK is signed.
pending as (
    select
        f.weight,
        f."killmailTime",
        f."topAttackerCharacterId",
        f."topAttackerCorporationId",
        f."topAttackerAllianceId",
        f."victimCharacterId",
        f."victimCorporationId",
        f."victimAllianceId",
        f.isk,
        coalesce(f.solo, false) as solo,
        coalesce(f.npc, false) as npc
    from entity_stats.ledger as l
    cross join lateral unnest(l.facts) as f
    where not l.folded
    union all
    select
        a.weight,
        k."killmailTime",
        k."topAttackerCharacterId",
        k."topAttackerCorporationId",
        k."topAttackerAllianceId",
        k."victimCharacterId",
        k."victimCorporationId",
        k."victimAllianceId",
        a.weight * case
            when k."totalValue" in ('NaN', 'Infinity', '-Infinity') then 0
            when k."totalValue" is null then 0
            when pg_typeof(k."totalValue") = 'numeric'::regtype then round(k."totalValue"::numeric, 2)
            else round(k."totalValue"::double precision::numeric, 2)
        end,
        coalesce(k.solo, false),
        coalesce(k.npc, false)
    from entity_stats.aside as a
    cross join lateral jsonb_populate_record(null::public.killmails, a.killmail) as k
),

-- Killmails positive, what is pending of them negative.
per_day as (
    select
        p."entityId",
        p."entityType",
        p.day,
        count(*) filter (where p.side = 'kill') as kills,
        count(*) filter (where p.side = 'loss') as losses,
        coalesce(sum(p.isk) filter (where p.side = 'kill'), 0) as "iskDestroyed",
        coalesce(sum(p.isk) filter (where p.side = 'loss'), 0) as "iskLost",
        count(*) filter (where p.side = 'kill' and p.solo) as "soloKills",
        count(*) filter (where p.side = 'loss' and p.solo) as "soloLosses",
        count(*) filter (where p.side = 'kill' and p.npc) as "npcKills",
        count(*) filter (where p.side = 'loss' and p.npc) as "npcLosses"
    from party as p
    group by p."entityId", p."entityType", p.day
    union all
    select
        p."entityId",
        p."entityType",
        (f."killmailTime" at time zone 'UTC')::date,
        case when p.side = 'kill' then -f.weight else 0 end,
        case when p.side = 'loss' then -f.weight else 0 end,
        case when p.side = 'kill' then -f.isk else 0 end,
        case when p.side = 'loss' then -f.isk else 0 end,
        case when p.side = 'kill' and f.solo then -f.weight else 0 end,
        case when p.side = 'loss' and f.solo then -f.weight else 0 end,
        case when p.side = 'kill' and f.npc then -f.weight else 0 end,
        case when p.side = 'loss' and f.npc then -f.weight else 0 end
    from pending as f
    cross join
        lateral (
            values
            ('character', 'kill', f."topAttackerCharacterId"),
            ('corporation', 'kill', f."topAttackerCorporationId"),
            ('alliance', 'kill', f."topAttackerAllianceId"),
            ('character', 'loss', f."victimCharacterId"),
            ('corporation', 'loss', f."victimCorporationId"),
            ('alliance', 'loss', f."victimAllianceId")
        ) as p ("entityType", side, "entityId")
    where p."entityId" is not null and p."entityId" <> 0
),

-- The kind of row, killmails positive, the history and what is late negative.
part as (
    select
        'day' as kind, e."entityId", e."entityType", e.day::text as date, e.kills, e.losses, e."iskDestroyed", e."iskLost",
        e."soloKills", e."soloLosses", e."npcKills", e."npcLosses"
    from per_day as e
    cross join closed as c
    where e.day >= c."daysFrom" and e.day < c."closedTo"
    union all
    select
        'day', d."entityId", d."entityType", d.day::text, -d.kills, -d.losses, -d."iskDestroyed", -d."iskLost",
        -d."soloKills", -d."soloLosses", -d."npcKills", -d."npcLosses"
    from entity_stats.day as d
    cross join closed as c
    where d.day >= c."daysFrom" and d.day < c."closedTo"
    union all
    select
        'day', l."entityId", l."entityType", l.day::text, -l.kills, -l.losses, -l."iskDestroyed", -l."iskLost",
        -l."soloKills", -l."soloLosses", -l."npcKills", -l."npcLosses"
    from entity_stats.late as l
    cross join closed as c
    where l.day >= c."daysFrom" and l.day < c."closedTo"
    union all
    select
        'month', e."entityId", e."entityType", to_char(e.day, 'YYYY-MM BC'), e.kills, e.losses, e."iskDestroyed", e."iskLost",
        e."soloKills", e."soloLosses", e."npcKills", e."npcLosses"
    from per_day as e
    cross join closed as c
    where e.day < c."closedTo"
    union all
    select
        'month', m."entityId", m."entityType", to_char(m.month, 'YYYY-MM BC'), -m.kills, -m.losses, -m."iskDestroyed", -m."iskLost",
        -m."soloKills", -m."soloLosses", -m."npcKills", -m."npcLosses"
    from entity_stats.month as m
    cross join closed as c
    where m.month < c."closedTo"
    union all
    select
        'month', l."entityId", l."entityType", to_char(l.day, 'YYYY-MM BC'), -l.kills, -l.losses, -l."iskDestroyed", -l."iskLost",
        -l."soloKills", -l."soloLosses", -l."npcKills", -l."npcLosses"
    from entity_stats.late as l
    cross join closed as c
    where l.day < c."closedTo"
    union all
    -- All-time: the cache is what is closed and what is not.
    select
        'all', a."entityId", a."entityType", null, a."killsAll", a."lossesAll", a."iskDestroyedAll", a."iskLostAll",
        a."soloKillsAll", a."soloLossesAll", a."npcKillsAll", a."npcLossesAll"
    from public.entity_stats_cache as a
    where exists (select from closed)
    union all
    select
        'all', e."entityId", e."entityType", null, -e.kills, -e.losses, -e."iskDestroyed", -e."iskLost",
        -e."soloKills", -e."soloLosses", -e."npcKills", -e."npcLosses"
    from per_day as e
    cross join closed as c
    where e.day >= c."closedTo"
    union all
    select
        'all', m."entityId", m."entityType", null, -m.kills, -m.losses, -m."iskDestroyed", -m."iskLost",
        -m."soloKills", -m."soloLosses", -m."npcKills", -m."npcLosses"
    from entity_stats.month as m
    cross join closed as c
    where m.month < c."closedTo"
    union all
    select
        'all', l."entityId", l."entityType", null, -l.kills, -l.losses, -l."iskDestroyed", -l."iskLost",
        -l."soloKills", -l."soloLosses", -l."npcKills", -l."npcLosses"
    from entity_stats.late as l
    cross join closed as c
    where l.day < c."closedTo"
)

select
    p.kind,
    p."entityType",
    p."entityId",
    p.date,
    sum(p.kills) as kills,
    sum(p.losses) as losses,
    sum(p."iskDestroyed") as "iskDestroyed",
    sum(p."iskLost") as "iskLost",
    sum(p."soloKills") as "soloKills",
    sum(p."soloLosses") as "soloLosses",
    sum(p."npcKills") as "npcKills",
    sum(p."npcLosses") as "npcLosses"
from part as p
group by p.kind, p."entityType", p."entityId", p.date
having
    (
        sum(p.kills), sum(p.losses), sum(p."iskDestroyed"), sum(p."iskLost"),
        sum(p."soloKills"), sum(p."soloLosses"), sum(p."npcKills"), sum(p."npcLosses")
    ) <> (0, 0, 0, 0, 0, 0, 0, 0)
order by p.kind, p."entityType", p."entityId", p.date;
