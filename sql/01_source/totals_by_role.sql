-- Killmails of a time range -> totals of the entities of one type, for whole ranges of the source. The same numbers as totals(),
-- which answers for single entities, in half the time: no aggregate has to ask for the side.
-- A build may take the entities of a type in parts, each complete in itself.
create or replace function entity_stats.in_part(id bigint, part integer, parts integer)
returns boolean
language sql immutable parallel safe
return parts = 1 or abs(id % parts) + 1 = part;

comment on function entity_stats.in_part(bigint, integer, integer) is 'Whether an entity belongs to a part, 1 to parts, of all. Inlined into the calling query.';

create or replace function entity_stats.totals_by_role(
    entity_type text, attacker boolean, from_time timestamptz, to_time timestamptz, part integer, parts integer
)
returns table (
    "entityId" bigint,
    killmails bigint,
    isk numeric,
    solo bigint,
    npc bigint,
    "lastTime" timestamp
)
language sql stable
begin atomic
    select
        p."entityId",
        count(*) as killmails,
        coalesce(sum(p.cents), 0) * 0.01 + coalesce(sum(p.isk) filter (where p.isk is not null), 0) as isk,
        count(*) filter (where p.solo) as solo,
        count(*) filter (where p.npc) as npc,
        max(p."killmailTime") at time zone 'UTC' as "lastTime"
    from entity_stats.killmail_party() as p
    where
        p."entityType" = entity_type
        and p.attacker = totals_by_role.attacker
        and p."killmailTime" >= from_time
        and (to_time is null or p."killmailTime" < to_time)
        and entity_stats.in_part(p."entityId", part, parts)
    group by p."entityId";
end;

comment on function entity_stats.totals_by_role(text, boolean, timestamptz, timestamptz, integer, integer) is
'Exact totals per entity of one type and side of the killmails with from_time <= "killmailTime" < to_time (null: no upper end), for the entities of one part; ISK, times in UTC. Inlined into the calling query.';

create or replace function entity_stats.totals_by_type(
    entity_type text, from_time timestamptz, to_time timestamptz, part integer default 1, parts integer default 1
)
returns table (
    "entityId" bigint,
    kills bigint,
    losses bigint,
    "iskDestroyed" numeric,
    "iskLost" numeric,
    "soloKills" bigint,
    "soloLosses" bigint,
    "npcKills" bigint,
    "npcLosses" bigint,
    "lastKillTime" timestamp,
    "lastLossTime" timestamp
)
language sql stable
begin atomic
    select
        coalesce(k."entityId", l."entityId") as "entityId",
        coalesce(k.killmails, 0) as kills,
        coalesce(l.killmails, 0) as losses,
        coalesce(k.isk, 0) as "iskDestroyed",
        coalesce(l.isk, 0) as "iskLost",
        coalesce(k.solo, 0) as "soloKills",
        coalesce(l.solo, 0) as "soloLosses",
        coalesce(k.npc, 0) as "npcKills",
        coalesce(l.npc, 0) as "npcLosses",
        k."lastTime" as "lastKillTime",
        l."lastTime" as "lastLossTime"
    from
        entity_stats.totals_by_role(
            totals_by_type.entity_type, true, totals_by_type.from_time, totals_by_type.to_time, totals_by_type.part, totals_by_type.parts
        ) as k
    full join
        entity_stats.totals_by_role(
            totals_by_type.entity_type, false, totals_by_type.from_time, totals_by_type.to_time, totals_by_type.part, totals_by_type.parts
        ) as l
        on k."entityId" = l."entityId";
end;

comment on function entity_stats.totals_by_type(text, timestamptz, timestamptz, integer, integer) is
'Both sides of totals_by_role(), one row per entity. Inlined into the calling query.';
