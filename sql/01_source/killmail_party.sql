-- One row per killmail and party: who gets a kill (the top attacker) and who gets a loss (the victim), of each entity type.
-- Six branches instead of one unpivot, so that a filter on type and id becomes an index lookup in public.killmails.
create or replace function entity_stats.killmail_party()
returns table (
    "entityType" text,
    "entityId" bigint,
    attacker boolean,
    "killmailTime" timestamptz,
    isk numeric,
    solo boolean,
    npc boolean,
    cents bigint
)
language sql stable parallel safe
begin atomic
    select
        'character' as "entityType", k."topAttackerCharacterId" as "entityId", true as attacker, k."killmailTime",
        case when k.cents is null then k.isk end as isk, k.solo, k.npc, k.cents
    from entity_stats.killmail() as k
    where k."topAttackerCharacterId" <> 0
    union all
    select
        'character', k."victimCharacterId", false, k."killmailTime",
        case when k.cents is null then k.isk end, k.solo, k.npc, k.cents
    from entity_stats.killmail() as k
    where k."victimCharacterId" <> 0
    union all
    select
        'corporation', k."topAttackerCorporationId", true, k."killmailTime",
        case when k.cents is null then k.isk end, k.solo, k.npc, k.cents
    from entity_stats.killmail() as k
    where k."topAttackerCorporationId" <> 0
    union all
    select
        'corporation', k."victimCorporationId", false, k."killmailTime",
        case when k.cents is null then k.isk end, k.solo, k.npc, k.cents
    from entity_stats.killmail() as k
    where k."victimCorporationId" <> 0
    union all
    select
        'alliance', k."topAttackerAllianceId", true, k."killmailTime",
        case when k.cents is null then k.isk end, k.solo, k.npc, k.cents
    from entity_stats.killmail() as k
    where k."topAttackerAllianceId" <> 0
    union all
    select
        'alliance', k."victimAllianceId", false, k."killmailTime",
        case when k.cents is null then k.isk end, k.solo, k.npc, k.cents
    from entity_stats.killmail() as k
    where k."victimAllianceId" <> 0;
end;

comment on function entity_stats.killmail_party() is
'Killmails by party: attacker true is a kill, false a loss. Ids that are null or 0 are nobody. isk is null where cents are exact: it takes time. Inlined into the calling query.';
