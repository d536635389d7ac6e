-- Baseline backfill: the specification's four phases, each for characters, corporations and alliances. All-time statistics come
-- from views, the windows from the killmails since each cutoff; every phase is one upsert into the cache with its primary key
-- in place. Sums of REAL, as the column is. No killmail may arrive meanwhile: the phases would overwrite it.
create schema baseline;

create table baseline.entity_stats_cache (like public.entity_stats_cache including defaults, primary key ("entityId", "entityType"));

comment on table baseline.entity_stats_cache is 'The specification''s cache table: the columns of ours, fillfactor 100.';

create view baseline.party as
select
    'character' as "entityType", k."topAttackerCharacterId" as "entityId", true as attacker,
    k."killmailTime", k."totalValue", k.solo, k.npc
from public.killmails as k
where k."topAttackerCharacterId" <> 0
union all
select
    'character' as "entityType", k."victimCharacterId" as "entityId", false as attacker,
    k."killmailTime", k."totalValue", k.solo, k.npc
from public.killmails as k
where k."victimCharacterId" <> 0
union all
select
    'corporation' as "entityType", k."topAttackerCorporationId" as "entityId", true as attacker,
    k."killmailTime", k."totalValue", k.solo, k.npc
from public.killmails as k
where k."topAttackerCorporationId" <> 0
union all
select
    'corporation' as "entityType", k."victimCorporationId" as "entityId", false as attacker,
    k."killmailTime", k."totalValue", k.solo, k.npc
from public.killmails as k
where k."victimCorporationId" <> 0
union all
select
    'alliance' as "entityType", k."topAttackerAllianceId" as "entityId", true as attacker,
    k."killmailTime", k."totalValue", k.solo, k.npc
from public.killmails as k
where k."topAttackerAllianceId" <> 0
union all
select
    'alliance' as "entityType", k."victimAllianceId" as "entityId", false as attacker,
    k."killmailTime", k."totalValue", k.solo, k.npc
from public.killmails as k
where k."victimAllianceId" <> 0;

create view baseline.stats as
select
    p."entityType",
    p."entityId",
    count(*) filter (where p.attacker) as kills,
    count(*) filter (where not p.attacker) as losses,
    coalesce(sum(p."totalValue") filter (where p.attacker), 0) as "iskDestroyed",
    coalesce(sum(p."totalValue") filter (where not p.attacker), 0) as "iskLost",
    count(*) filter (where p.attacker and p.solo) as "soloKills",
    count(*) filter (where not p.attacker and p.solo) as "soloLosses",
    count(*) filter (where p.attacker and p.npc) as "npcKills",
    count(*) filter (where not p.attacker and p.npc) as "npcLosses",
    max(p."killmailTime") filter (where p.attacker) at time zone 'UTC' as "lastKillTime",
    max(p."killmailTime") filter (where not p.attacker) at time zone 'UTC' as "lastLossTime"
from baseline.party as p
group by p."entityType", p."entityId";

comment on view baseline.party is 'Killmails by party.';
comment on view baseline.stats is 'All-time statistics per entity: what the specification calls the views.';

create procedure baseline.backfill()
language plpgsql
as $$
declare
    type text;
begin
    foreach type in array array['character', 'corporation', 'alliance'] loop
        insert into baseline.entity_stats_cache as c (
            "entityId", "entityType",
            "killsAll", "lossesAll", "iskDestroyedAll", "iskLostAll", "soloKillsAll", "soloLossesAll", "npcKillsAll", "npcLossesAll",
            "lastKillTime", "lastLossTime"
        )
        select
            s."entityId", s."entityType",
            s.kills, s.losses, s."iskDestroyed", s."iskLost", s."soloKills", s."soloLosses", s."npcKills", s."npcLosses",
            s."lastKillTime", s."lastLossTime"
        from baseline.stats as s
        where s."entityType" = type
        on conflict ("entityId", "entityType") do update
        set
            "killsAll" = excluded."killsAll",
            "lossesAll" = excluded."lossesAll",
            "iskDestroyedAll" = excluded."iskDestroyedAll",
            "iskLostAll" = excluded."iskLostAll",
            "soloKillsAll" = excluded."soloKillsAll",
            "soloLossesAll" = excluded."soloLossesAll",
            "npcKillsAll" = excluded."npcKillsAll",
            "npcLossesAll" = excluded."npcLossesAll",
            "lastKillTime" = excluded."lastKillTime",
            "lastLossTime" = excluded."lastLossTime";
        commit;
    end loop;

    foreach type in array array['character', 'corporation', 'alliance'] loop
        insert into baseline.entity_stats_cache as c (
            "entityId", "entityType",
            "kills90d", "losses90d", "iskDestroyed90d", "iskLost90d", "soloKills90d", "soloLosses90d", "npcKills90d", "npcLosses90d"
        )
        select
            p."entityId", p."entityType",
            count(*) filter (where p.attacker) as kills,
            count(*) filter (where not p.attacker) as losses,
            coalesce(sum(p."totalValue") filter (where p.attacker), 0) as "iskDestroyed",
            coalesce(sum(p."totalValue") filter (where not p.attacker), 0) as "iskLost",
            count(*) filter (where p.attacker and p.solo) as "soloKills",
            count(*) filter (where not p.attacker and p.solo) as "soloLosses",
            count(*) filter (where p.attacker and p.npc) as "npcKills",
            count(*) filter (where not p.attacker and p.npc) as "npcLosses"
        from baseline.party as p
        where p."entityType" = type and p."killmailTime" >= now() - interval '90 days'
        group by p."entityId", p."entityType"
        on conflict ("entityId", "entityType") do update
        set
            "kills90d" = excluded."kills90d",
            "losses90d" = excluded."losses90d",
            "iskDestroyed90d" = excluded."iskDestroyed90d",
            "iskLost90d" = excluded."iskLost90d",
            "soloKills90d" = excluded."soloKills90d",
            "soloLosses90d" = excluded."soloLosses90d",
            "npcKills90d" = excluded."npcKills90d",
            "npcLosses90d" = excluded."npcLosses90d";
        commit;
    end loop;

    foreach type in array array['character', 'corporation', 'alliance'] loop
        insert into baseline.entity_stats_cache as c (
            "entityId", "entityType",
            "kills30d", "losses30d", "iskDestroyed30d", "iskLost30d", "soloKills30d", "soloLosses30d", "npcKills30d", "npcLosses30d"
        )
        select
            p."entityId", p."entityType",
            count(*) filter (where p.attacker) as kills,
            count(*) filter (where not p.attacker) as losses,
            coalesce(sum(p."totalValue") filter (where p.attacker), 0) as "iskDestroyed",
            coalesce(sum(p."totalValue") filter (where not p.attacker), 0) as "iskLost",
            count(*) filter (where p.attacker and p.solo) as "soloKills",
            count(*) filter (where not p.attacker and p.solo) as "soloLosses",
            count(*) filter (where p.attacker and p.npc) as "npcKills",
            count(*) filter (where not p.attacker and p.npc) as "npcLosses"
        from baseline.party as p
        where p."entityType" = type and p."killmailTime" >= now() - interval '30 days'
        group by p."entityId", p."entityType"
        on conflict ("entityId", "entityType") do update
        set
            "kills30d" = excluded."kills30d",
            "losses30d" = excluded."losses30d",
            "iskDestroyed30d" = excluded."iskDestroyed30d",
            "iskLost30d" = excluded."iskLost30d",
            "soloKills30d" = excluded."soloKills30d",
            "soloLosses30d" = excluded."soloLosses30d",
            "npcKills30d" = excluded."npcKills30d",
            "npcLosses30d" = excluded."npcLosses30d";
        commit;
    end loop;

    foreach type in array array['character', 'corporation', 'alliance'] loop
        insert into baseline.entity_stats_cache as c (
            "entityId", "entityType",
            "kills14d", "losses14d", "iskDestroyed14d", "iskLost14d", "soloKills14d", "soloLosses14d", "npcKills14d", "npcLosses14d"
        )
        select
            p."entityId", p."entityType",
            count(*) filter (where p.attacker) as kills,
            count(*) filter (where not p.attacker) as losses,
            coalesce(sum(p."totalValue") filter (where p.attacker), 0) as "iskDestroyed",
            coalesce(sum(p."totalValue") filter (where not p.attacker), 0) as "iskLost",
            count(*) filter (where p.attacker and p.solo) as "soloKills",
            count(*) filter (where not p.attacker and p.solo) as "soloLosses",
            count(*) filter (where p.attacker and p.npc) as "npcKills",
            count(*) filter (where not p.attacker and p.npc) as "npcLosses"
        from baseline.party as p
        where p."entityType" = type and p."killmailTime" >= now() - interval '14 days'
        group by p."entityId", p."entityType"
        on conflict ("entityId", "entityType") do update
        set
            "kills14d" = excluded."kills14d",
            "losses14d" = excluded."losses14d",
            "iskDestroyed14d" = excluded."iskDestroyed14d",
            "iskLost14d" = excluded."iskLost14d",
            "soloKills14d" = excluded."soloKills14d",
            "soloLosses14d" = excluded."soloLosses14d",
            "npcKills14d" = excluded."npcKills14d",
            "npcLosses14d" = excluded."npcLosses14d";
        commit;
    end loop;
end
$$;

comment on procedure baseline.backfill () is 'The four phases, three entity types each.';
