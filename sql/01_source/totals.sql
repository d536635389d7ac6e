-- THE aggregate: killmails of a time range -> totals per entity. Recalculation, views, reads and checks all call it.
create or replace function entity_stats.totals(from_time timestamptz, to_time timestamptz)
returns table (
    "entityType" text,
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
language sql stable parallel safe
begin atomic
    select
        p."entityType",
        p."entityId",
        count(*) filter (where p.attacker) as kills,
        count(*) filter (where not p.attacker) as losses,
        coalesce(sum(p.cents) filter (where p.attacker), 0) * 0.01
        + coalesce(sum(p.isk) filter (where p.attacker and p.isk is not null), 0) as "iskDestroyed",
        coalesce(sum(p.cents) filter (where not p.attacker), 0) * 0.01
        + coalesce(sum(p.isk) filter (where not p.attacker and p.isk is not null), 0) as "iskLost",
        count(*) filter (where p.attacker and p.solo) as "soloKills",
        count(*) filter (where not p.attacker and p.solo) as "soloLosses",
        count(*) filter (where p.attacker and p.npc) as "npcKills",
        count(*) filter (where not p.attacker and p.npc) as "npcLosses",
        max(p."killmailTime") filter (where p.attacker) at time zone 'UTC' as "lastKillTime",
        max(p."killmailTime") filter (where not p.attacker) at time zone 'UTC' as "lastLossTime"
    from entity_stats.killmail_party() as p
    where p."killmailTime" >= from_time and (to_time is null or p."killmailTime" < to_time)
    group by p."entityType", p."entityId";
end;

comment on function entity_stats.totals(timestamptz, timestamptz) is
'Exact totals per entity of the killmails with from_time <= "killmailTime" < to_time (null: no upper end); ISK, times in UTC.';
