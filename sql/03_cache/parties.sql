-- Facts -> what each party of them gets: a kill for the top attacker, a loss for the victim, per entity type.
-- The mirror of killmail_party() for captured killmails. Inlined into the calling query.
create or replace function entity_stats.parties(facts entity_stats.fact[])
returns table (
    "entityType" text,
    "entityId" bigint,
    "killmailTime" timestamptz,
    kills integer,
    losses integer,
    "iskDestroyed" numeric,
    "iskLost" numeric,
    "soloKills" integer,
    "soloLosses" integer,
    "npcKills" integer,
    "npcLosses" integer,
    "lastKillTime" timestamp,
    "lastLossTime" timestamp,
    "staleKillTime" timestamp,
    "staleLossTime" timestamp
)
language sql stable
begin atomic
    select
        p."entityType",
        p."entityId",
        f."killmailTime",
        case when p.attacker then f.weight else 0 end as kills,
        case when p.attacker then 0 else f.weight end as losses,
        case when p.attacker then f.isk else 0 end as "iskDestroyed",
        case when p.attacker then 0 else f.isk end as "iskLost",
        case when p.attacker and f.solo then f.weight else 0 end as "soloKills",
        case when not p.attacker and f.solo then f.weight else 0 end as "soloLosses",
        case when p.attacker and f.npc then f.weight else 0 end as "npcKills",
        case when not p.attacker and f.npc then f.weight else 0 end as "npcLosses",
        case when p.attacker and f.weight > 0 then f."killmailTime" at time zone 'UTC' end as "lastKillTime",
        case when not p.attacker and f.weight > 0 then f."killmailTime" at time zone 'UTC' end as "lastLossTime",
        case when p.attacker and f.weight < 0 then f."killmailTime" at time zone 'UTC' end as "staleKillTime",
        case when not p.attacker and f.weight < 0 then f."killmailTime" at time zone 'UTC' end as "staleLossTime"
    from unnest(parties.facts) as f
    cross join
        lateral (
        values
            ('character' collate "C", f."topAttackerCharacterId", true),
            ('character', f."victimCharacterId", false),
            ('corporation', f."topAttackerCorporationId", true),
            ('corporation', f."victimCorporationId", false),
            ('alliance', f."topAttackerAllianceId", true),
            ('alliance', f."victimAllianceId", false)
        ) as p ("entityType", "entityId", attacker)
    where p."entityId" <> 0;
end;

comment on function entity_stats.parties(entity_stats.fact[]) is
'What facts add to the figures of their parties, a row per killmail and party; ISK, times in UTC. stale: times of what went.';
