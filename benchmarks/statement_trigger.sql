-- Baseline statement-trigger: one aggregate and one upsert sorted by key per INSERT, at once. What an experienced engineer
-- would make of the row trigger.
create function baseline.on_insert()
returns trigger
language plpgsql
as $$
begin
    insert into baseline.entity_stats_cache as c
    select
        p."entityId",
        p."entityType",
        count(*) filter (where p.attacker),
        count(*) filter (where not p.attacker),
        coalesce(sum(p.isk) filter (where p.attacker), 0),
        coalesce(sum(p.isk) filter (where not p.attacker), 0),
        count(*) filter (where p.attacker and p.solo),
        count(*) filter (where not p.attacker and p.solo),
        count(*) filter (where p.attacker and p.npc),
        count(*) filter (where not p.attacker and p.npc),
        count(*) filter (where p.attacker and p.d90),
        count(*) filter (where not p.attacker and p.d90),
        coalesce(sum(p.isk) filter (where p.attacker and p.d90), 0),
        coalesce(sum(p.isk) filter (where not p.attacker and p.d90), 0),
        count(*) filter (where p.attacker and p.solo and p.d90),
        count(*) filter (where not p.attacker and p.solo and p.d90),
        count(*) filter (where p.attacker and p.npc and p.d90),
        count(*) filter (where not p.attacker and p.npc and p.d90),
        count(*) filter (where p.attacker and p.d30),
        count(*) filter (where not p.attacker and p.d30),
        coalesce(sum(p.isk) filter (where p.attacker and p.d30), 0),
        coalesce(sum(p.isk) filter (where not p.attacker and p.d30), 0),
        count(*) filter (where p.attacker and p.solo and p.d30),
        count(*) filter (where not p.attacker and p.solo and p.d30),
        count(*) filter (where p.attacker and p.npc and p.d30),
        count(*) filter (where not p.attacker and p.npc and p.d30),
        count(*) filter (where p.attacker and p.d14),
        count(*) filter (where not p.attacker and p.d14),
        coalesce(sum(p.isk) filter (where p.attacker and p.d14), 0),
        coalesce(sum(p.isk) filter (where not p.attacker and p.d14), 0),
        count(*) filter (where p.attacker and p.solo and p.d14),
        count(*) filter (where not p.attacker and p.solo and p.d14),
        count(*) filter (where p.attacker and p.npc and p.d14),
        count(*) filter (where not p.attacker and p.npc and p.d14),
        max(p."killmailTime") filter (where p.attacker) at time zone 'UTC',
        max(p."killmailTime") filter (where not p.attacker) at time zone 'UTC',
        now() at time zone 'UTC'
    from (
        select
            party.*, a."killmailTime", a."totalValue"::numeric as isk, a.solo, a.npc,
            a."killmailTime" >= now() - interval '90 days' as d90,
            a."killmailTime" >= now() - interval '30 days' as d30,
            a."killmailTime" >= now() - interval '14 days' as d14
        from arrived as a
        cross join lateral (
            values
                ('character', a."topAttackerCharacterId", true),
                ('corporation', a."topAttackerCorporationId", true),
                ('alliance', a."topAttackerAllianceId", true),
                ('character', a."victimCharacterId", false),
                ('corporation', a."victimCorporationId", false),
                ('alliance', a."victimAllianceId", false)
        ) as party ("entityType", "entityId", attacker)
        where party."entityId" <> 0
    ) as p
    group by p."entityId", p."entityType"
    order by p."entityType", p."entityId"
    on conflict ("entityId", "entityType") do update
    set
        "killsAll" = c."killsAll" + excluded."killsAll",
        "lossesAll" = c."lossesAll" + excluded."lossesAll",
        "iskDestroyedAll" = c."iskDestroyedAll" + excluded."iskDestroyedAll",
        "iskLostAll" = c."iskLostAll" + excluded."iskLostAll",
        "soloKillsAll" = c."soloKillsAll" + excluded."soloKillsAll",
        "soloLossesAll" = c."soloLossesAll" + excluded."soloLossesAll",
        "npcKillsAll" = c."npcKillsAll" + excluded."npcKillsAll",
        "npcLossesAll" = c."npcLossesAll" + excluded."npcLossesAll",
        "kills90d" = c."kills90d" + excluded."kills90d",
        "losses90d" = c."losses90d" + excluded."losses90d",
        "iskDestroyed90d" = c."iskDestroyed90d" + excluded."iskDestroyed90d",
        "iskLost90d" = c."iskLost90d" + excluded."iskLost90d",
        "soloKills90d" = c."soloKills90d" + excluded."soloKills90d",
        "soloLosses90d" = c."soloLosses90d" + excluded."soloLosses90d",
        "npcKills90d" = c."npcKills90d" + excluded."npcKills90d",
        "npcLosses90d" = c."npcLosses90d" + excluded."npcLosses90d",
        "kills30d" = c."kills30d" + excluded."kills30d",
        "losses30d" = c."losses30d" + excluded."losses30d",
        "iskDestroyed30d" = c."iskDestroyed30d" + excluded."iskDestroyed30d",
        "iskLost30d" = c."iskLost30d" + excluded."iskLost30d",
        "soloKills30d" = c."soloKills30d" + excluded."soloKills30d",
        "soloLosses30d" = c."soloLosses30d" + excluded."soloLosses30d",
        "npcKills30d" = c."npcKills30d" + excluded."npcKills30d",
        "npcLosses30d" = c."npcLosses30d" + excluded."npcLosses30d",
        "kills14d" = c."kills14d" + excluded."kills14d",
        "losses14d" = c."losses14d" + excluded."losses14d",
        "iskDestroyed14d" = c."iskDestroyed14d" + excluded."iskDestroyed14d",
        "iskLost14d" = c."iskLost14d" + excluded."iskLost14d",
        "soloKills14d" = c."soloKills14d" + excluded."soloKills14d",
        "soloLosses14d" = c."soloLosses14d" + excluded."soloLosses14d",
        "npcKills14d" = c."npcKills14d" + excluded."npcKills14d",
        "npcLosses14d" = c."npcLosses14d" + excluded."npcLosses14d",
        "lastKillTime" = greatest(c."lastKillTime", excluded."lastKillTime"),
        "lastLossTime" = greatest(c."lastLossTime", excluded."lastLossTime"),
        "updatedAt" = excluded."updatedAt";

    return null;
end
$$;

comment on function baseline.on_insert() is 'Statement trigger of killmails: one sorted upsert per statement.';

create trigger count_killmails
after insert on public.killmails
referencing new table as arrived
for each statement execute function baseline.on_insert();
