-- Killmails of a time range -> totals per entity and side, for whole slices of the source: one scan per side counts all three
-- entity types, without a filter per metric. The same numbers as totals(), which answers for single entities.
create or replace function entity_stats.totals_by_role(from_time timestamptz, to_time timestamptz)
returns table (
    "entityType" text,
    "entityId" bigint,
    attacker boolean,
    killmails bigint,
    isk numeric,
    solo bigint,
    npc bigint,
    "lastTime" timestamp
)
language sql stable
begin atomic
    select
        case 0
            when grouping(k."topAttackerCharacterId") then 'character'
            when grouping(k."topAttackerCorporationId") then 'corporation'
            else 'alliance'
        end as "entityType",
        coalesce(k."topAttackerCharacterId", k."topAttackerCorporationId", k."topAttackerAllianceId") as "entityId",
        true as attacker,
        count(*) as killmails,
        sum(k.isk) as isk,
        count(*) filter (where k.solo) as solo,
        count(*) filter (where k.npc) as npc,
        max(k."killmailTime") at time zone 'UTC' as "lastTime"
    from entity_stats.killmail as k
    where k."killmailTime" >= from_time and (to_time is null or k."killmailTime" < to_time)
    group by grouping sets ((k."topAttackerCharacterId"), (k."topAttackerCorporationId"), (k."topAttackerAllianceId"))
    having coalesce(k."topAttackerCharacterId", k."topAttackerCorporationId", k."topAttackerAllianceId") <> 0
    union all
    select
        case 0
            when grouping(k."victimCharacterId") then 'character'
            when grouping(k."victimCorporationId") then 'corporation'
            else 'alliance'
        end as "entityType",
        coalesce(k."victimCharacterId", k."victimCorporationId", k."victimAllianceId") as "entityId",
        false as attacker,
        count(*) as killmails,
        sum(k.isk) as isk,
        count(*) filter (where k.solo) as solo,
        count(*) filter (where k.npc) as npc,
        max(k."killmailTime") at time zone 'UTC' as "lastTime"
    from entity_stats.killmail as k
    where k."killmailTime" >= from_time and (to_time is null or k."killmailTime" < to_time)
    group by grouping sets ((k."victimCharacterId"), (k."victimCorporationId"), (k."victimAllianceId"))
    having coalesce(k."victimCharacterId", k."victimCorporationId", k."victimAllianceId") <> 0;
end;

comment on function entity_stats.totals_by_role(timestamptz, timestamptz) is
'Exact totals per entity and side of the killmails with from_time <= "killmailTime" < to_time (null: no upper end); ISK, times in UTC.';
