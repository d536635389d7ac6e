-- Baseline row-trigger: what the specification describes. Every inserted killmail updates six cache rows, in the order of
-- its roles, at once. The cache is the specification's table with its primary key and nothing else.
create function baseline.count_killmail(
    entity_id bigint, entity_type text, attacker boolean, at_time timestamptz, value numeric, is_solo boolean, is_npc boolean
)
returns void
language plpgsql
as $$
declare
    kill constant integer := attacker::integer;
    loss constant integer := 1 - kill;
    d90 constant integer := (at_time >= now() - interval '90 days')::integer;
    d30 constant integer := (at_time >= now() - interval '30 days')::integer;
    d14 constant integer := (at_time >= now() - interval '14 days')::integer;
    solo constant integer := is_solo::integer;
    npc constant integer := is_npc::integer;
    utc constant timestamp := at_time at time zone 'UTC';
begin
    insert into baseline.entity_stats_cache as c
    values (
        entity_id, entity_type,
        kill, loss, kill * value, loss * value, kill * solo, loss * solo, kill * npc, loss * npc,
        d90 * kill, d90 * loss, d90 * kill * value, d90 * loss * value, d90 * kill * solo, d90 * loss * solo, d90 * kill * npc, d90 * loss * npc,
        d30 * kill, d30 * loss, d30 * kill * value, d30 * loss * value, d30 * kill * solo, d30 * loss * solo, d30 * kill * npc, d30 * loss * npc,
        d14 * kill, d14 * loss, d14 * kill * value, d14 * loss * value, d14 * kill * solo, d14 * loss * solo, d14 * kill * npc, d14 * loss * npc,
        case when attacker then utc end, case when not attacker then utc end, now() at time zone 'UTC'
    )
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
end
$$;

comment on function baseline.count_killmail(bigint, text, boolean, timestamptz, numeric, boolean, boolean) is
'Adds one killmail to one row of the cache.';

create function baseline.on_insert()
returns trigger
language plpgsql
as $$
begin
    if new."topAttackerCharacterId" <> 0 then
        perform baseline.count_killmail(new."topAttackerCharacterId", 'character', true, new."killmailTime", new."totalValue"::numeric, new.solo, new.npc);
    end if;
    if new."topAttackerCorporationId" <> 0 then
        perform baseline.count_killmail(new."topAttackerCorporationId", 'corporation', true, new."killmailTime", new."totalValue"::numeric, new.solo, new.npc);
    end if;
    if new."topAttackerAllianceId" <> 0 then
        perform baseline.count_killmail(new."topAttackerAllianceId", 'alliance', true, new."killmailTime", new."totalValue"::numeric, new.solo, new.npc);
    end if;
    if new."victimCharacterId" <> 0 then
        perform baseline.count_killmail(new."victimCharacterId", 'character', false, new."killmailTime", new."totalValue"::numeric, new.solo, new.npc);
    end if;
    if new."victimCorporationId" <> 0 then
        perform baseline.count_killmail(new."victimCorporationId", 'corporation', false, new."killmailTime", new."totalValue"::numeric, new.solo, new.npc);
    end if;
    if new."victimAllianceId" <> 0 then
        perform baseline.count_killmail(new."victimAllianceId", 'alliance', false, new."killmailTime", new."totalValue"::numeric, new.solo, new.npc);
    end if;
    return null;
end
$$;

comment on function baseline.on_insert() is 'Row trigger of killmails: six upserts per killmail.';

create trigger count_killmail
after insert on public.killmails
for each row execute function baseline.on_insert();
