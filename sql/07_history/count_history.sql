-- The one statement that counts a range of closed days and months from killmails.
create or replace function entity_stats.count_history(from_day date, to_day date, days_from date)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
set plan_cache_mode = force_custom_plan
set jit = off
set work_mem = '256MB'
as $$
declare
    granularity constant text := case when to_day > days_from then 'day' else 'month' end;
    written bigint;
begin
    delete from entity_stats.day as d where d.day >= from_day and d.day < to_day;
    if from_day = date_trunc('month', from_day::timestamp)::date then -- else the month has its earlier days
        delete from entity_stats.month as m where m.month >= from_day and m.month < to_day;
    end if;

    -- One statement, one snapshot.
    with truth as materialized (
        select t.* from entity_stats.history_truth(granularity, from_day, to_day) as t
    ),

    days as (
        insert into entity_stats.day
        select
            t."entityId", t."entityType", t.date, t.kills, t.losses, t."iskDestroyed", t."iskLost",
            t."soloKills", t."soloLosses", t."npcKills", t."npcLosses"
        from truth as t
        where t.date >= days_from
        order by t."entityId", t."entityType" collate "C", t.date
    ),

    months as (
        insert into entity_stats.month as m
        select
            t."entityId", t."entityType", date_trunc('month', t.date::timestamp)::date, sum(t.kills), sum(t.losses),
            sum(t."iskDestroyed"), sum(t."iskLost"), sum(t."soloKills"), sum(t."soloLosses"), sum(t."npcKills"), sum(t."npcLosses")
        from truth as t
        group by t."entityId", t."entityType", date_trunc('month', t.date::timestamp)
        order by t."entityId", t."entityType" collate "C", date_trunc('month', t.date::timestamp)
        on conflict ("entityId", "entityType", month) do update
        set
            kills = m.kills + excluded.kills,
            losses = m.losses + excluded.losses,
            "iskDestroyed" = m."iskDestroyed" + excluded."iskDestroyed",
            "iskLost" = m."iskLost" + excluded."iskLost",
            "soloKills" = m."soloKills" + excluded."soloKills",
            "soloLosses" = m."soloLosses" + excluded."soloLosses",
            "npcKills" = m."npcKills" + excluded."npcKills",
            "npcLosses" = m."npcLosses" + excluded."npcLosses"
        returning 1
    )

    select count(*) into written from months;
    return written;
end
$$;

comment on function entity_stats.count_history(date, date, date) is
'Writes the rows of the days from from_day to before to_day, of one month unless from_day is -infinity, anew from killmails; returns how many months of entities it wrote. days_from: older days get no rows. lock_history() first, and a lock on killmails.';
