-- What came late goes into the rows that it belongs to, in small steps. Nobody else writes to them.
create or replace function entity_stats.apply_late(most integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    now_history entity_stats.history;
    applied bigint;
begin
    -- Whoever has it closes days: they take what is late into account, and apply it next.
    if not pg_try_advisory_xact_lock(hashtextextended('entity_stats.history', 0)) then
        return 0;
    end if;
    select h.* into now_history from entity_stats.history as h;

    with taken as (
        delete from entity_stats.late as l
        where
            -- An array, not IN: statistics of a table that empties and fills again are no guide to a join.
            l.part = any(
                array(
                    select n.part from entity_stats.late as n where n.day < now_history."closedTo" order by n.part limit most
                )
            )
        returning l.*
    ),

    days as (
        insert into entity_stats.day as d
        select
            t."entityId", t."entityType", t.day, sum(t.kills), sum(t.losses), sum(t."iskDestroyed"), sum(t."iskLost"),
            sum(t."soloKills"), sum(t."soloLosses"), sum(t."npcKills"), sum(t."npcLosses")
        from taken as t
        where t.day >= now_history."daysFrom"
        group by t."entityId", t."entityType", t.day
        on conflict ("entityId", "entityType", day) do update
        set
            kills = d.kills + excluded.kills,
            losses = d.losses + excluded.losses,
            "iskDestroyed" = d."iskDestroyed" + excluded."iskDestroyed",
            "iskLost" = d."iskLost" + excluded."iskLost",
            "soloKills" = d."soloKills" + excluded."soloKills",
            "soloLosses" = d."soloLosses" + excluded."soloLosses",
            "npcKills" = d."npcKills" + excluded."npcKills",
            "npcLosses" = d."npcLosses" + excluded."npcLosses"
    ),

    months as (
        insert into entity_stats.month as m
        select
            t."entityId", t."entityType", date_trunc('month', t.day::timestamp)::date, sum(t.kills), sum(t.losses),
            sum(t."iskDestroyed"), sum(t."iskLost"), sum(t."soloKills"), sum(t."soloLosses"), sum(t."npcKills"), sum(t."npcLosses")
        from taken as t
        group by t."entityId", t."entityType", date_trunc('month', t.day::timestamp)
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
    )

    select count(*) into applied from taken;
    return applied;
end
$$;

comment on function entity_stats.apply_late(integer) is
'Adds up to most rows of entity_stats.late to the closed days and months that they belong to; returns how many, 0 when somebody else works on the history.';
