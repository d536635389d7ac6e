-- Filling the history and closing a day are the same step: the next range, at most a month, from one snapshot. Nobody waits for it but who
-- works on the history, too.
create or replace function entity_stats.claim_history()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('entity_stats.history', 0));
end
$$;

comment on function entity_stats.claim_history() is
'Waits until nobody else works on the history, and claims it until the end of the transaction. Comes before every other lock but that of a build.';

-- SECURITY DEFINER: whoever calls it, the partition is the operators', like its table.
create or replace function entity_stats.add_partition(of_table text, from_day date, to_day date)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    part constant text := of_table || case
        when from_day = '-infinity' then '_early'
        else to_char(from_day, case of_table when 'month' then '_YYYY' else '_YYYY_MM' end)
    end;
begin
    if to_regclass('entity_stats.' || part) is null then
        -- Attached, which locks out nobody; PARTITION OF would wait for every reader.
        execute format('create table entity_stats.%I (like entity_stats.%I including all)', part, of_table);
        execute format(
            'alter table entity_stats.%I attach partition entity_stats.%I for values from (%s) to (%L)',
            of_table, part, case when from_day = '-infinity' then 'minvalue' else quote_literal(from_day) end, to_day
        );
    end if;
end
$$;

comment on function entity_stats.add_partition(text, date, date) is
'Adds a partition to entity_stats.month or entity_stats.day unless it is there; from_day -infinity: everything before to_day.';

create or replace function entity_stats.add_partitions(days_from date, to_day date)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    part date;
begin
    -- All years since there is EVE Online: killmails of any of them may still arrive.
    perform entity_stats.add_partition('month', '-infinity', '2003-01-01');
    for part in select g::date from generate_series('2003-01-01'::timestamp, to_day - 1, interval '1 year') as g loop
        perform entity_stats.add_partition('month', part, (part + interval '1 year')::date);
    end loop;
    for part in select g::date from generate_series(days_from::timestamp, to_day - 1, interval '1 month') as g loop
        perform entity_stats.add_partition('day', part, (part + interval '1 month')::date);
    end loop;
end
$$;

comment on function entity_stats.add_partitions(date, date) is 'Partitions of the history up to before to_day: of months, all; of days, from days_from.';

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
'Writes the rows of the days from from_day to before to_day, of one month unless from_day is -infinity, anew from killmails; returns how many months of entities it wrote. days_from: older days get no rows. claim_history() first, and a lock on killmails.';

create or replace function entity_stats.make_room(to_day date)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    perform entity_stats.claim_history();
    perform entity_stats.add_partitions(
        case
            when h."closedTo" is not null then h."daysFrom"
            else date_trunc('month', greatest(to_day - h."keepDays", '2003-01-01')::timestamp)::date
        end,
        (to_day + interval '1 month')::date
    )
    from entity_stats.history as h;
end
$$;

comment on function entity_stats.make_room(date) is
'Adds the partitions that the days before to_day will need, and those of a month more: a query that was planned before a partition came would not find the rows that came with it. In a transaction of its own: ATTACH PARTITION locks what comes after the gate.';

create or replace function entity_stats.open_late(to_day date)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    moves boolean;
begin
    perform entity_stats.claim_history();
    moves := not exists (select from entity_stats.state as s where s."historyTo" >= entity_stats.midnight(to_day));
    if moves then
        perform entity_stats.close_gate();
    end if;

    if exists (select from entity_stats.invalidation) or not exists (select from entity_stats.state as s where s.status = 'ready') then
        raise exception 'the cache is not ready: there is no history to keep'
            using errcode = 'object_not_in_prerequisite_state', hint = 'Run the backfill first: call entity_stats.backfill().';
    end if;

    update entity_stats.state as s
    set "historyTo" = entity_stats.midnight(to_day)
    where moves;
end
$$;

comment on function entity_stats.open_late(date) is
'Under the gate: from here on folds keep facts of the days before to_day for the history. No fold is under way that does not.';

create or replace function entity_stats.close_range()
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
set timezone = 'UTC'
set jit = off
as $$
declare
    now_history entity_stats.history;
    history_to date;
    from_day date;
    to_day date;
    written bigint;
begin
    perform entity_stats.claim_history();
    perform entity_stats.hold_source(as_built => false);
    select h.* into now_history from entity_stats.history as h;
    select s."historyTo"::date into history_to
    from entity_stats.state as s
    where s.status = 'ready' and not exists (select from entity_stats.invalidation);

    if history_to is null or history_to <= now_history."closedTo" then
        return null;
    elsif now_history."closedTo" is null then
        -- Killmails from before EVE Online are errors; what there is of them goes with the first step.
        select min(k."killmailTime")::date into now_history."firstDay"
        from entity_stats.killmail() as k
        where isfinite(k."killmailTime");
        now_history."firstDay" := least(coalesce(now_history."firstDay", history_to), history_to);
        now_history."daysFrom" := date_trunc('month', greatest(history_to - now_history."keepDays", now_history."firstDay", '2003-01-01')::timestamp);
        from_day := '-infinity';
        to_day := least(history_to, (date_trunc('month', greatest(now_history."firstDay", '2003-01-01')::timestamp) + interval '1 month')::date);
    else
        from_day := now_history."closedTo";
        to_day := least(history_to, (date_trunc('month', from_day::timestamp) + interval '1 month')::date);
    end if;

    written := entity_stats.count_history(from_day, to_day, now_history."daysFrom");
    update entity_stats.history as h
    set "closedTo" = to_day, "daysFrom" = now_history."daysFrom", "firstDay" = now_history."firstDay";

    return format('Closed the history up to %s: %s rows', to_day, written);
end
$$;

comment on function entity_stats.close_range() is
'Closes the next days of the history, at most to the end of their month; returns what it did, in words, null when nothing is left to close.';

create or replace function entity_stats.drop_old_days()
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    days_from date;
    part regclass;
    dropped bigint := 0;
begin
    perform entity_stats.claim_history();
    select h."daysFrom" into days_from from entity_stats.history as h;

    -- First what the last call has put out of use: whoever still reads by an older snapshot finds the others.
    for part in
        select c.oid
        from pg_inherits as i
        inner join pg_class as c on i.inhrelid = c.oid
        where i.inhparent = 'entity_stats.day'::regclass and right(c.relname, 7) < to_char(days_from, 'YYYY_MM')
        order by c.oid
    loop
        perform entity_stats.lock_patiently('entity_stats.day', 'access exclusive');
        execute format('drop table %s', part);
        dropped := dropped + 1;
    end loop;

    update entity_stats.history as h
    set "daysFrom" = date_trunc('month', (h."closedTo" - h."keepDays")::timestamp)
    where h."daysFrom" < date_trunc('month', (h."closedTo" - h."keepDays")::timestamp);

    return dropped;
end
$$;

comment on function entity_stats.drop_old_days() is
'Puts months of days out of use that are older than keepDays; drops the partitions that were out of use before, and returns how many.';

create or replace procedure entity_stats.close_history(as_of timestamptz default null)
language plpgsql
as $$
declare
    to_day constant date := pg_catalog.date_trunc('day', entity_stats.past(as_of) at time zone 'UTC');
    step text;
    reported timestamptz := pg_catalog.clock_timestamp();
begin
    call entity_stats.require_autocommit('close_history');
    if not (select h.wanted from entity_stats.history as h) then
        raise notice 'No history is kept; to keep one: call entity_stats.fill_history()';
        return;
    elsif pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'the history is closed in READ COMMITTED only'
            using errcode = 'invalid_transaction_state', hint = 'Run it with autocommit, outside a transaction block.';
    end if;

    perform entity_stats.make_room(to_day);
    commit;
    perform entity_stats.open_late(to_day);
    commit;

    loop
        step := entity_stats.close_range();
        commit;
        exit when step is null;
        if pg_catalog.clock_timestamp() - reported > interval '5 seconds' then
            raise notice '  %', step;
            reported := pg_catalog.clock_timestamp();
        end if;
    end loop;

    while entity_stats.apply_late(2000) > 0 loop
        commit;
    end loop;
    commit;

    perform entity_stats.drop_old_days();
    commit;
    raise notice 'The history is closed up to %', (select h."closedTo" from entity_stats.history as h);
end
$$;

comment on procedure entity_stats.close_history (timestamptz) is
'Closes all days before as_of (UTC, default now) that are not, a month per transaction, applies what came late, drops old days; nothing where no history is kept. Killed and called again, it goes on. Call it with autocommit.';

create or replace procedure entity_stats.fill_history(as_of timestamptz default null, wanted boolean default true)
language plpgsql
as $$
begin
    call entity_stats.require_autocommit('fill_history');
    if fill_history.wanted then
        update entity_stats.history as h set wanted = true where not h.wanted;
        commit;
    end if;
    call entity_stats.close_history(as_of);
end
$$;

comment on procedure entity_stats.fill_history (timestamptz, boolean) is
'Switches the history on and fills it month by month up to as_of (UTC, default now), while killmails keep arriving; killed and called again, it goes on. wanted false: only goes on with a history that is on. Call it with autocommit.';

create or replace procedure entity_stats.drop_history()
language plpgsql
as $$
declare
    emptied text;
begin
    call entity_stats.require_autocommit('drop_history');
    perform entity_stats.claim_history();
    perform entity_stats.close_gate();
    update entity_stats.history as h set wanted = false, "closedTo" = null, "daysFrom" = null, "firstDay" = null;
    update entity_stats.state as s set "historyTo" = null;
    commit;

    -- Each in a transaction of its own: a reader holds one of them and waits for another.
    foreach emptied in array array['late', 'day', 'month'] loop
        perform entity_stats.claim_history();
        if not (select h.wanted from entity_stats.history as h) then
            perform entity_stats.lock_patiently(('entity_stats.' || emptied)::pg_catalog.regclass, 'access exclusive');
            execute 'truncate entity_stats.' || emptied;
        end if;
        commit;
    end loop;
end
$$;

comment on procedure entity_stats.drop_history () is
'Switches the history off and empties its tables; reads then answer from killmails. Call it with autocommit.';
