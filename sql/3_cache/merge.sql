-- The only writer of the cache: applies deltas in one upsert in the one global key order, so that no two writers can deadlock.
-- Alliances, the hottest rows, are locked last and so for the shortest time. It files the entities for the leaderboards, too.
create or replace function entity_stats.merge(
    deltas entity_stats.delta[] default '{}', facts entity_stats.ledger[] default '{}', periods integer default 15, waited boolean default true
)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
    written bigint;
    verify boolean;
begin
    with added as materialized (
        select s.* from entity_stats.summed(deltas, facts, periods) as s
    ),

    merged as (
        insert into public.entity_stats_cache as c
        select a.*
        from added as a
        order by a."entityType" collate "C" desc, a."entityId"
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
            "updatedAt" = excluded."updatedAt"
        returning c.*
    ),

    filed as (
        insert into entity_stats.leader
        select o.*
        from merged as m
        cross join lateral entity_stats.over_mark(row(m.*)::public.entity_stats_cache) as o
        on conflict do nothing
    )

    select count(*) into written from merged;

    -- The newest killmail of an entity went: look for the one before it. A new statement, because only now are the rows
    -- locked: what was committed until here is seen, what comes later waits for us and raises the time itself.
    verify := waited and exists (select from entity_stats.overtaking);
    if verify and cardinality(facts) > 0 then
        deltas := deltas || array(select d from entity_stats.deltas(facts) as d);
    end if;
    if cardinality(deltas) > 0 and (verify or exists (select from unnest(deltas) as d where num_nonnulls(d."staleKillTime", d."staleLossTime") > 0)) then
        update public.entity_stats_cache as c
        set
            "lastKillTime" = case
                when coalesce(stale.kill < c."lastKillTime", true) then c."lastKillTime"
                when c."killsAll" <> 0 then entity_stats.last_time(c."entityType", c."entityId", true, stale.kill)
            end,
            "lastLossTime" = case
                when coalesce(stale.loss < c."lastLossTime", true) then c."lastLossTime"
                when c."lossesAll" <> 0 then entity_stats.last_time(c."entityType", c."entityId", false, stale.loss)
            end
        from (
            select
                d."entityType", d."entityId",
                max(greatest(d."staleKillTime", case when verify then d."lastKillTime" end)) as kill,
                max(greatest(d."staleLossTime", case when verify then d."lastLossTime" end)) as loss
            from unnest(deltas) as d
            group by d."entityType", d."entityId"
        ) as stale
        where
            c."entityId" = stale."entityId"
            and c."entityType" = stale."entityType"
            and (stale.kill >= c."lastKillTime" or stale.loss >= c."lastLossTime");
    end if;

    return written;
end
$$;

comment on function entity_stats.merge(entity_stats.delta[], entity_stats.ledger[], integer, boolean) is
'Adds deltas, or facts that all count in periods (default: in all), to the cache, creating missing rows; returns how many entities it wrote. waited: some may come from transactions that committed earlier, whose killmails may be gone again. READ COMMITTED only.';
