-- One phase: the totals of one entity type in one period, straight from the source.
-- A first build has nobody who folds, so a snapshot of minutes harms nobody: all periods of a part of the entities go into the empty
-- cache in one statement, which sums each killmail once per side and writes each row once. A rebuild, beside which the cache serves,
-- goes by ranges of time into the staging. Slices are independent: several sessions may build them side by side.
create or replace function entity_stats.load_part(in_type text, part integer, parts integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
set plan_cache_mode = force_custom_plan
set jit = off
set work_mem = '256MB' -- bounds memory: up to three hash tables of twice as much and a sort at a time, temporary files beyond that
set hash_mem_multiplier = 2
as $$
declare
    since_90d constant timestamptz := (select w.cutoff from entity_stats.time_window as w where w.period = '90d');
    since_30d constant timestamptz := (select w.cutoff from entity_stats.time_window as w where w.period = '30d');
    since_14d constant timestamptz := (select w.cutoff from entity_stats.time_window as w where w.period = '14d');
    loaded record;
begin
    -- One statement, one snapshot: what the totals have seen is what the phases say they have seen.
    with seen as (
        update entity_stats.phase as p
        set snapshot = pg_current_snapshot()
        where p."entityType" = in_type and p.slice = part
    ),

    -- In the order of the key. Who is in a window is in all-time, too.
    filled as (
        insert into public.entity_stats_cache
        select
            a."entityId",
            in_type,
            a.kills,
            a.losses,
            a."iskDestroyed",
            a."iskLost",
            a."soloKills",
            a."soloLosses",
            a."npcKills",
            a."npcLosses",
            coalesce(q.kills, 0),
            coalesce(q.losses, 0),
            coalesce(q."iskDestroyed", 0),
            coalesce(q."iskLost", 0),
            coalesce(q."soloKills", 0),
            coalesce(q."soloLosses", 0),
            coalesce(q."npcKills", 0),
            coalesce(q."npcLosses", 0),
            coalesce(m.kills, 0),
            coalesce(m.losses, 0),
            coalesce(m."iskDestroyed", 0),
            coalesce(m."iskLost", 0),
            coalesce(m."soloKills", 0),
            coalesce(m."soloLosses", 0),
            coalesce(m."npcKills", 0),
            coalesce(m."npcLosses", 0),
            coalesce(f.kills, 0),
            coalesce(f.losses, 0),
            coalesce(f."iskDestroyed", 0),
            coalesce(f."iskLost", 0),
            coalesce(f."soloKills", 0),
            coalesce(f."soloLosses", 0),
            coalesce(f."npcKills", 0),
            coalesce(f."npcLosses", 0),
            a."lastKillTime",
            a."lastLossTime",
            now() at time zone 'UTC'
        from entity_stats.totals_by_type(in_type, '-infinity', null, part, parts) as a
        left join entity_stats.totals_by_type(in_type, since_90d, null, part, parts) as q on a."entityId" = q."entityId"
        left join entity_stats.totals_by_type(in_type, since_30d, null, part, parts) as m on a."entityId" = m."entityId"
        left join entity_stats.totals_by_type(in_type, since_14d, null, part, parts) as f on a."entityId" = f."entityId"
        order by a."entityId"
        returning "kills90d" + "losses90d" > 0 as in_90d, "kills30d" + "losses30d" > 0 as in_30d, "kills14d" + "losses14d" > 0 as in_14d
    )

    select
        count(*) as in_all,
        count(*) filter (where i.in_90d) as in_90d,
        count(*) filter (where i.in_30d) as in_30d,
        count(*) filter (where i.in_14d) as in_14d
    into loaded
    from filled as i;

    update entity_stats.phase as p
    set
        entities = case p.period when 'all' then loaded.in_all when '90d' then loaded.in_90d when '30d' then loaded.in_30d else loaded.in_14d end,
        "finishedAt" = clock_timestamp()
    where p."entityType" = in_type and p.slice = part;

    return loaded.in_all;
end
$$;

comment on function entity_stats.load_part(text, integer, integer) is
'First build only: the rows of one part, 1 to parts, of an entity type, all periods, from the source into the empty cache; returns how many. Memory: at most seven times its work_mem, temporary files beyond that.';
