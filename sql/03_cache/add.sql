-- The only writer of the figures in the cache: one upsert in the one global key order, so that no two writers can deadlock. Alliances, the
-- hottest rows, are locked last and so for the shortest time. Who has come over a mark is filed for the leaderboards.
create or replace function entity_stats.add(
    facts entity_stats.fact[], deltas entity_stats.delta[], periods integer, from_time timestamptz, to_time timestamptz
)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashagg = off -- one sort serves the sums and the order of the locks
set jit = off
as $$
declare
    in_all constant boolean := periods & 1 <> 0;
    in_90d constant boolean := periods & 2 <> 0;
    in_30d constant boolean := periods & 4 <> 0;
    in_14d constant boolean := periods & 8 <> 0;
    written bigint;
begin
    insert into public.entity_stats_cache as c
    select
        s."entityId",
        s."entityType",
        case when in_all then s.kills else 0 end as "killsAll",
        case when in_all then s.losses else 0 end as "lossesAll",
        case when in_all then s."iskDestroyed" else 0 end as "iskDestroyedAll",
        case when in_all then s."iskLost" else 0 end as "iskLostAll",
        case when in_all then s."soloKills" else 0 end as "soloKillsAll",
        case when in_all then s."soloLosses" else 0 end as "soloLossesAll",
        case when in_all then s."npcKills" else 0 end as "npcKillsAll",
        case when in_all then s."npcLosses" else 0 end as "npcLossesAll",
        case when in_90d then s.kills else 0 end as "kills90d",
        case when in_90d then s.losses else 0 end as "losses90d",
        case when in_90d then s."iskDestroyed" else 0 end as "iskDestroyed90d",
        case when in_90d then s."iskLost" else 0 end as "iskLost90d",
        case when in_90d then s."soloKills" else 0 end as "soloKills90d",
        case when in_90d then s."soloLosses" else 0 end as "soloLosses90d",
        case when in_90d then s."npcKills" else 0 end as "npcKills90d",
        case when in_90d then s."npcLosses" else 0 end as "npcLosses90d",
        case when in_30d then s.kills else 0 end as "kills30d",
        case when in_30d then s.losses else 0 end as "losses30d",
        case when in_30d then s."iskDestroyed" else 0 end as "iskDestroyed30d",
        case when in_30d then s."iskLost" else 0 end as "iskLost30d",
        case when in_30d then s."soloKills" else 0 end as "soloKills30d",
        case when in_30d then s."soloLosses" else 0 end as "soloLosses30d",
        case when in_30d then s."npcKills" else 0 end as "npcKills30d",
        case when in_30d then s."npcLosses" else 0 end as "npcLosses30d",
        case when in_14d then s.kills else 0 end as "kills14d",
        case when in_14d then s.losses else 0 end as "losses14d",
        case when in_14d then s."iskDestroyed" else 0 end as "iskDestroyed14d",
        case when in_14d then s."iskLost" else 0 end as "iskLost14d",
        case when in_14d then s."soloKills" else 0 end as "soloKills14d",
        case when in_14d then s."soloLosses" else 0 end as "soloLosses14d",
        case when in_14d then s."npcKills" else 0 end as "npcKills14d",
        case when in_14d then s."npcLosses" else 0 end as "npcLosses14d",
        case when in_all then s."lastKillTime" end as "lastKillTime",
        case when in_all then s."lastLossTime" end as "lastLossTime",
        now() at time zone 'UTC' as "updatedAt",
        -- Of somebody new: all lists, if it can be over a mark at all. The night takes it off those where it is not.
        case
            when
                greatest(s.kills, s."soloKills") >= (select min(least(m.kills, m.solo, m."efficientKills")) from entity_stats.mark as m)
                or s."iskDestroyed" >= (select min(m.isk) from entity_stats.mark as m)
                then 255
            else 0
        end as leads
    from (
        select
            d."entityId",
            d."entityType",
            sum(d.kills) as kills,
            sum(d.losses) as losses,
            sum(d."iskDestroyed") as "iskDestroyed",
            sum(d."iskLost") as "iskLost",
            sum(d."soloKills") as "soloKills",
            sum(d."soloLosses") as "soloLosses",
            sum(d."npcKills") as "npcKills",
            sum(d."npcLosses") as "npcLosses",
            max(d."lastKillTime") as "lastKillTime",
            max(d."lastLossTime") as "lastLossTime"
        from (
            select
                p."entityType" collate "C" as "entityType", p."entityId", p.kills, p.losses, p."iskDestroyed", p."iskLost",
                p."soloKills", p."soloLosses", p."npcKills", p."npcLosses", p."lastKillTime", p."lastLossTime"
            from entity_stats.parties(facts) as p
            where from_time is null or (p."killmailTime" >= from_time and (to_time is null or p."killmailTime" < to_time))
            union all
            select
                n."entityType", n."entityId", n.kills::integer, n.losses::integer, n."iskDestroyed", n."iskLost",
                n."soloKills"::integer, n."soloLosses"::integer, n."npcKills"::integer, n."npcLosses"::integer,
                n."lastKillTime", n."lastLossTime"
            from unnest(deltas) as n
            where n.periods = add.periods
        ) as d
        group by d."entityType", d."entityId"
        order by d."entityType" desc, d."entityId"
    ) as s
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
        "updatedAt" = excluded."updatedAt",
        leads = c.leads | coalesce(
            (
                select bit_or(o.list)
                from entity_stats.over_mark(
                    c."entityType",
                    c."killsAll" + excluded."killsAll", c."iskDestroyedAll" + excluded."iskDestroyedAll",
                    c."iskLostAll" + excluded."iskLostAll", c."soloKillsAll" + excluded."soloKillsAll",
                    c."kills90d" + excluded."kills90d", c."iskDestroyed90d" + excluded."iskDestroyed90d",
                    c."iskLost90d" + excluded."iskLost90d", c."soloKills90d" + excluded."soloKills90d",
                    c."kills30d" + excluded."kills30d", c."iskDestroyed30d" + excluded."iskDestroyed30d",
                    c."iskLost30d" + excluded."iskLost30d", c."soloKills30d" + excluded."soloKills30d",
                    c."kills14d" + excluded."kills14d", c."iskDestroyed14d" + excluded."iskDestroyed14d",
                    c."iskLost14d" + excluded."iskLost14d", c."soloKills14d" + excluded."soloKills14d"
                ) as o
            ), 0
        );
    get diagnostics written = row_count;

    return written;
end
$$;

comment on function entity_stats.add(entity_stats.fact[], entity_stats.delta[], integer, timestamptz, timestamptz) is
'Adds the facts with from_time <= "killmailTime" < to_time (null: all, no end), and the deltas of just these periods, to the cache, in periods (time_window.bit, added up); returns how many rows it wrote.';
