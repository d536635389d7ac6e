-- What the rows of the history must amount to: killmails minus what is late and what is pending. Inlined, so that a filter on type and id
-- reaches the source's indexes.
create or replace function entity_stats.midnight(day date)
returns timestamptz
language sql immutable parallel safe
return day::timestamp at time zone 'UTC';

comment on function entity_stats.midnight(date) is 'When a UTC day begins.';

create or replace function entity_stats.history_truth(granularity text, from_day date, to_day date)
returns table (
    "entityType" text,
    "entityId" bigint,
    date date,
    kills bigint,
    losses bigint,
    "iskDestroyed" numeric,
    "iskLost" numeric,
    "soloKills" bigint,
    "soloLosses" bigint,
    "npcKills" bigint,
    "npcLosses" bigint
)
language sql stable
begin atomic
    select
        f."entityType",
        f."entityId",
        f.date,
        sum(f.kills)::bigint as kills,
        sum(f.losses)::bigint as losses,
        sum(f."iskDestroyed") as "iskDestroyed",
        sum(f."iskLost") as "iskLost",
        sum(f."soloKills")::bigint as "soloKills",
        sum(f."soloLosses")::bigint as "soloLosses",
        sum(f."npcKills")::bigint as "npcKills",
        sum(f."npcLosses")::bigint as "npcLosses"
    from (
        select
            t."entityType", t."entityId", t.date, t.kills, t.losses, t."iskDestroyed", t."iskLost",
            t."soloKills", t."soloLosses", t."npcKills", t."npcLosses"
        from entity_stats.totals_by_date(history_truth.granularity, entity_stats.midnight(history_truth.from_day), entity_stats.midnight(history_truth.to_day)) as t
        union all
        select
            p."entityType", p."entityId", date_trunc(history_truth.granularity, p."killmailTime" at time zone 'UTC')::date,
            -p.kills, -p.losses, -p."iskDestroyed", -p."iskLost", -p."soloKills", -p."soloLosses", -p."npcKills", -p."npcLosses"
        from entity_stats.pending_facts() as l
        cross join lateral entity_stats.parties(l.facts) as p
        where
            p."killmailTime" >= entity_stats.midnight(history_truth.from_day)
            and (history_truth.to_day is null or p."killmailTime" < entity_stats.midnight(history_truth.to_day))
        union all
        select
            l."entityType", l."entityId", date_trunc(history_truth.granularity, l.day::timestamp)::date,
            -l.kills, -l.losses, -l."iskDestroyed", -l."iskLost", -l."soloKills", -l."soloLosses", -l."npcKills", -l."npcLosses"
        from entity_stats.late as l
        where l.day >= history_truth.from_day and (history_truth.to_day is null or l.day < history_truth.to_day)
    ) as f
    group by f."entityType", f."entityId", f.date
    having
        (
            sum(f.kills), sum(f.losses), sum(f."iskDestroyed"), sum(f."iskLost"),
            sum(f."soloKills"), sum(f."soloLosses"), sum(f."npcKills"), sum(f."npcLosses")
        ) <> (0, 0, 0, 0, 0, 0, 0, 0);
end;

comment on function entity_stats.history_truth(text, date, date) is
'What the history must have for the days from from_day to before to_day (null: no end), per entity and day or month (granularity): killmails minus late and pending facts; ISK, UTC.';

create or replace function entity_stats.history_drift(granularity text, from_day date, to_day date)
returns table (
    "entityType" text,
    "entityId" bigint,
    date date,
    kills bigint,
    losses bigint,
    "iskDestroyed" numeric,
    "iskLost" numeric,
    "soloKills" bigint,
    "soloLosses" bigint,
    "npcKills" bigint,
    "npcLosses" bigint
)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off -- hundreds of partitions, each compiled, took a hundred times as long as the query
begin atomic
    select
        f."entityType",
        f."entityId",
        f.date,
        sum(f.kills)::bigint as kills,
        sum(f.losses)::bigint as losses,
        sum(f."iskDestroyed") as "iskDestroyed",
        sum(f."iskLost") as "iskLost",
        sum(f."soloKills")::bigint as "soloKills",
        sum(f."soloLosses")::bigint as "soloLosses",
        sum(f."npcKills")::bigint as "npcKills",
        sum(f."npcLosses")::bigint as "npcLosses"
    from (
        select t.*
        from entity_stats.history as h
        cross join
            lateral entity_stats.history_truth(
                history_drift.granularity,
                greatest(history_drift.from_day, case when history_drift.granularity = 'day' then h."daysFrom" end),
                least(history_drift.to_day, h."closedTo")
            ) as t
        where h."closedTo" is not null
        union all
        select
            d."entityType", d."entityId", d.day, -d.kills, -d.losses, -d."iskDestroyed", -d."iskLost",
            -d."soloKills", -d."soloLosses", -d."npcKills", -d."npcLosses"
        from entity_stats.history as h
        inner join entity_stats.day as d on h."daysFrom" <= d.day and h."closedTo" > d.day
        where history_drift.granularity = 'day' and d.day >= history_drift.from_day and d.day < history_drift.to_day
        union all
        select
            m."entityType", m."entityId", m.month, -m.kills, -m.losses, -m."iskDestroyed", -m."iskLost",
            -m."soloKills", -m."soloLosses", -m."npcKills", -m."npcLosses"
        from entity_stats.history as h
        inner join entity_stats.month as m on h."closedTo" > m.month
        where history_drift.granularity = 'month' and m.month >= history_drift.from_day and m.month < history_drift.to_day
    ) as f
    group by f."entityType", f."entityId", f.date
    having
        (
            sum(f.kills), sum(f.losses), sum(f."iskDestroyed"), sum(f."iskLost"),
            sum(f."soloKills"), sum(f."soloLosses"), sum(f."npcKills"), sum(f."npcLosses")
        ) <> (0, 0, 0, 0, 0, 0, 0, 0);
end;

comment on function entity_stats.history_drift(text, date, date) is
'What is missing in the closed rows of the history (negative: too much) from from_day to before to_day, per entity and day or month (granularity; then both are firsts of months); no row: exact. ISK, UTC.';
