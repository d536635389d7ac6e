-- What reads of the history return, and the parts that they are made of: rows of closed days with what is late and pending, and killmails
-- for the rest.
do $$
begin
    if to_regtype('entity_stats.entity_history') is null then
        create type entity_stats.entity_history as (
            "entityId" bigint,
            "entityType" text collate "C",
            date date,
            kills bigint,
            losses bigint,
            "iskDestroyed" numeric,
            "iskLost" numeric,
            efficiency numeric,
            "soloKills" bigint,
            "soloLosses" bigint,
            "npcKills" bigint,
            "npcLosses" bigint
        );
    end if;
end
$$;

comment on type entity_stats.entity_history is 'One entity in one UTC day or month: counters, ISK, efficiency.';
comment on column entity_stats.entity_history.date is 'The day, or the first day of the month, UTC.';
comment on column entity_stats.entity_history.efficiency is '100 * iskDestroyed / (iskDestroyed + iskLost), percent; 0 if both are 0.';

create or replace function entity_stats.history_from(granularity text, day date)
returns date
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if granularity is null or granularity not in ('day', 'month') then
        raise exception 'unknown granularity: %', coalesce(granularity, 'null')
            using errcode = 'invalid_parameter_value', hint = 'The history has: day, month.';
    end if;
    return date_trunc(granularity, day::timestamp)::date;
end
$$;

comment on function entity_stats.history_from(text, date) is 'The date of the row that a day belongs to; raises for anything but day and month.';

create or replace function entity_stats.closed_to()
returns date
language sql stable security definer -- views of readers call it, who have no right on the state
set search_path = pg_catalog, pg_temp
begin atomic
    select coalesce(max(h."closedTo"), '-infinity')
    from entity_stats.history as h
    cross join entity_stats.state as s
    where
        s.status = 'ready'
        and s."historyTo" is not null
        and not exists (select from public.entity_stats_invalidation)
        and exists (
            select
            from pg_trigger as t
            where
                t.tgrelid = to_regclass('public.killmails')
                and t.tgname = 'trigger_update_entity_stats_on_insert'
                and t.tgenabled <> 'D'
        );
end;

comment on function entity_stats.closed_to() is 'First day that is to be read from killmails: -infinity where there is no history, or it is not to be believed.';

-- From the closed rows. One plan for all calls: a lookup by primary key in each partition that the dates reach.
create or replace function entity_stats.closed_history(
    entity_ids bigint[], entity_type text, granularity text, from_day date, to_day date
)
returns setof entity_stats.entity_history
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
begin
    if granularity = 'month' then
        return query
        select
            m."entityId", m."entityType", m.month, m.kills::bigint, m.losses::bigint, m."iskDestroyed", m."iskLost", 0::numeric,
            m."soloKills"::bigint, m."soloLosses"::bigint, m."npcKills"::bigint, m."npcLosses"::bigint
        from entity_stats.month as m
        where m."entityId" = any(entity_ids) and m."entityType" = entity_type and m.month >= from_day and m.month < to_day;
    else
        return query
        select
            d."entityId", d."entityType", d.day, d.kills::bigint, d.losses::bigint, d."iskDestroyed", d."iskLost", 0::numeric,
            d."soloKills"::bigint, d."soloLosses"::bigint, d."npcKills"::bigint, d."npcLosses"::bigint
        from entity_stats.day as d
        where d."entityId" = any(entity_ids) and d."entityType" = entity_type and d.day >= from_day and d.day < to_day;
    end if;

    return query
    select
        l."entityId", l."entityType", date_trunc(granularity, l.day::timestamp)::date, l.kills::bigint, l.losses::bigint,
        l."iskDestroyed", l."iskLost", 0::numeric, l."soloKills"::bigint, l."soloLosses"::bigint, l."npcKills"::bigint, l."npcLosses"::bigint
    from entity_stats.late as l
    where l."entityId" = any(entity_ids) and l."entityType" = entity_type and l.day >= from_day and l.day < to_day
    union all
    select
        p."entityId", p."entityType", date_trunc(granularity, p."killmailTime" at time zone 'UTC')::date, p.kills::bigint, p.losses::bigint,
        p."iskDestroyed", p."iskLost", 0::numeric, p."soloKills"::bigint, p."soloLosses"::bigint, p."npcKills"::bigint, p."npcLosses"::bigint
    from entity_stats.pending_facts() as f
    cross join lateral entity_stats.parties(f.facts) as p
    where
        p."entityId" = any(entity_ids)
        and p."entityType" = entity_type
        and p."killmailTime" >= entity_stats.midnight(from_day)
        and p."killmailTime" < entity_stats.midnight(to_day);
end
$$;

comment on function entity_stats.closed_history(bigint[], text, text, date, date) is
'Closed days from from_day to before to_day, with what is late and pending; several rows may be of one date, to be summed.';

-- Straight from killmails: the values in the plan, so that only the partitions that they reach are planned.
create or replace function entity_stats.open_history(
    entity_ids bigint[], entity_type text, granularity text, from_time timestamptz, to_time timestamptz
)
returns setof entity_stats.entity_history
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
begin
    return query
    select
        t."entityId", t."entityType", t.date, t.kills, t.losses, t."iskDestroyed", t."iskLost", 0::numeric,
        t."soloKills", t."soloLosses", t."npcKills", t."npcLosses"
    from entity_stats.totals_by_date(granularity, from_time, to_time) as t
    where t."entityId" = any(entity_ids) and t."entityType" = entity_type;
end
$$;

comment on function entity_stats.open_history(bigint[], text, text, timestamptz, timestamptz) is
'Days or months straight from killmails with from_time <= "killmailTime" < to_time (null: no end).';

create or replace function entity_stats.read_history(
    entity_ids bigint[], entity_type text, granularity text, from_date date, to_date date, zeros boolean, closed_to date
)
returns setof entity_stats.entity_history
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    first_day constant date := coalesce(entity_stats.history_from(granularity, from_date), '-infinity');
    -- The first day after the last row; null: no end.
    end_day constant date := (entity_stats.history_from(granularity, to_date) + ('1 ' || granularity)::interval)::date;
    rows_from constant date := case granularity when 'day' then coalesce((select h."daysFrom" from entity_stats.history as h), '-infinity') else '-infinity' end;
    closed_from constant date := greatest(first_day, rows_from);
    closed_end constant date := least(closed_to, end_day);
    open_from constant date := case when closed_end > closed_from then greatest(closed_to, first_day) else first_day end;
begin
    perform entity_stats.period_bit(entity_type, 'all'); -- raises for an unknown type

    return query
    with part as (
        select c.*
        from entity_stats.closed_history(entity_ids, entity_type, granularity, closed_from, closed_end) as c
        where closed_end > closed_from
        union all
        -- Days that have no rows any more.
        select o.*
        from
            entity_stats.open_history(
                entity_ids, entity_type, granularity, entity_stats.midnight(first_day), entity_stats.midnight(closed_from)
            ) as o
        where closed_end > closed_from and closed_from > first_day
        union all
        select o.*
        from
            entity_stats.open_history(
                entity_ids, entity_type, granularity, entity_stats.midnight(open_from), entity_stats.midnight(end_day)
            ) as o
        where end_day is null or open_from < end_day
    ),

    figures as (
        select
            p."entityId",
            p.date,
            sum(p.kills)::bigint as kills,
            sum(p.losses)::bigint as losses,
            sum(p."iskDestroyed") as "iskDestroyed",
            sum(p."iskLost") as "iskLost",
            sum(p."soloKills")::bigint as "soloKills",
            sum(p."soloLosses")::bigint as "soloLosses",
            sum(p."npcKills")::bigint as "npcKills",
            sum(p."npcLosses")::bigint as "npcLosses"
        from part as p
        group by p."entityId", p.date
        having sum(p.kills) <> 0 or sum(p.losses) <> 0
    ),

    dates as (
        select f."entityId", f.date from figures as f
        union
        select w.id, g.date::date
        from unnest(entity_ids) as w (id)
        cross join
            lateral generate_series(
                coalesce(
                    nullif(first_day, '-infinity'), (select min(f.date) from figures as f where isfinite(f.date))
                )::timestamp,
                least(coalesce(end_day - 1, 'infinity'), (now() at time zone 'UTC')::date)::timestamp,
                ('1 ' || granularity)::interval
            ) as g (date)
        where zeros
    )

    select
        d."entityId",
        entity_type,
        d.date,
        coalesce(f.kills, 0),
        coalesce(f.losses, 0),
        coalesce(f."iskDestroyed", 0),
        coalesce(f."iskLost", 0),
        coalesce(round(100 * f."iskDestroyed" / nullif(f."iskDestroyed" + f."iskLost", 0), 4), 0),
        coalesce(f."soloKills", 0),
        coalesce(f."soloLosses", 0),
        coalesce(f."npcKills", 0),
        coalesce(f."npcLosses", 0)
    from dates as d
    left join figures as f on d."entityId" = f."entityId" and d.date = f.date
    order by array_position(entity_ids, d."entityId"), d.date;
end
$$;

comment on function entity_stats.read_history(bigint[], text, text, date, date, boolean, date) is
'The history of entities of one type, by day or month: what is closed before closed_to from rows, the rest from killmails. Dates inclusive; zeros: a row for each date up to today.';
