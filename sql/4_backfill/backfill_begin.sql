-- Prepares a build: what there is to do, from which cutoffs. A build that was interrupted is resumed where it stopped.
create or replace function entity_stats.prepare_build(as_of timestamptz, rebuild boolean)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    now_state entity_stats.state;
    identity bigint := (select c.system_identifier from pg_control_system() as c);
    at_time constant timestamptz := entity_stats.past(as_of);
    invalid constant boolean := exists (select from entity_stats.invalidation);
begin
    lock table public.killmails in access share mode;
    perform entity_stats.close_gate();
    select s.* into now_state from entity_stats.state as s;

    if now_state.status = 'ready' and not now_state.retaining and not invalid and not rebuild then
        raise exception 'the cache is ready: there is nothing to backfill'
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'To build it anew while it serves: call entity_stats.backfill(rebuild => true), or the DAG''s rebuild parameter.';
    end if;

    if
        (now_state.status = 'backfilling' or now_state.retaining)
        and not invalid
        and now_state."systemIdentifier" = identity
    then
        return format(
            'Resuming the backfill as of %s begun at %s: %s of %s slices are done',
            now_state."asOf", now_state."startedAt",
            (select count(*) from entity_stats.phase as p where p.snapshot is not null),
            (select count(*) from entity_stats.phase)
        );
    end if;

    truncate entity_stats.staged;
    delete from entity_stats.phase;
    delete from entity_stats.ledger as l where l.folded;
    update entity_stats.ledger as l set absorbed = false where l.absorbed;

    if now_state.status = 'ready' and not invalid then
        update entity_stats.state as s set retaining = true;
    else
        delete from entity_stats.invalidation;
        delete from public.entity_stats_cache; -- not TRUNCATE: whoever still reads an older snapshot must find it
        update entity_stats.time_window as w set cutoff = entity_stats.cutoff_at(at_time, w.days) where w.days is not null;
        update entity_stats.state as s set status = 'backfilling', folding = false, retaining = false, "readyAt" = null;
    end if;

    update entity_stats.state as s
    set "asOf" = at_time, "systemIdentifier" = identity, "startedAt" = clock_timestamp(), "finishedTo" = null;

    insert into entity_stats.phase (period, "entityType", slice, "fromTime", "toTime")
    select s.period, t.type, s.slice, s.from_time, s.to_time
    from entity_stats.slices() as s
    cross join (values ('character'), ('corporation'), ('alliance')) as t (type);

    return format('Backfilling as of %s', at_time);
end
$$;

comment on function entity_stats.prepare_build(timestamptz, boolean) is
'Under the gate: sets cutoffs, status and the list of slices, or finds the build to resume; returns what it did, in words.';

create or replace function entity_stats.slices()
returns table (period text, slice integer, from_time timestamptz, to_time timestamptz)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    first_year integer;
    last_year constant integer := date_part('year', now() at time zone 'UTC');
begin
    -- All-time by calendar years where partitions make a year cheap to read; else a slice would read the whole table.
    if exists (select from pg_partitioned_table as t where t.partrelid = 'public.killmails'::regclass) then
        select date_part('year', min(k."killmailTime") at time zone 'UTC')
        into first_year
        from entity_stats.killmail as k
        where isfinite(k."killmailTime");
    end if;

    first_year := least(coalesce(first_year, last_year), last_year);

    return query
    select
        w.period,
        year - first_year + 1,
        case when year = first_year then '-infinity' else make_timestamptz(year, 1, 1, 0, 0, 0, 'UTC') end,
        case when year < last_year then make_timestamptz(year + 1, 1, 1, 0, 0, 0, 'UTC') end
    from entity_stats.time_window as w
    cross join generate_series(first_year, last_year) as year
    where w.days is null
    union all
    select w.period, 1, w.cutoff, null
    from entity_stats.time_window as w
    where w.days is not null;
end
$$;

comment on function entity_stats.slices() is 'Ranges of killmail times that a build reads one by one: years for all-time, one range per window.';

create or replace procedure entity_stats.backfill_begin(as_of timestamptz default null, rebuild boolean default false)
language plpgsql
as $$
declare
    at_time constant timestamptz := entity_stats.past(as_of);
    todo record;
begin
    -- A rebuild of a ready cache moves its windows first, forward or back, step by step: then cutoffs stand still.
    if
        rebuild
        and (select s.status = 'ready' and not s.retaining from entity_stats.state as s)
        and not exists (select from entity_stats.invalidation)
    then
        for todo in
            select w.period, entity_stats.cutoff_at(at_time, w.days) as target
            from entity_stats.time_window as w
            where w.days is not null
        loop
            while entity_stats.move_window(todo.period, todo.target) is not null loop
                commit;
            end loop;
        end loop;
    end if;

    raise notice '%', entity_stats.prepare_build(as_of, rebuild);
    commit;
end
$$;

comment on procedure entity_stats.backfill_begin (timestamptz, boolean) is
'Begins or resumes a backfill. as_of: time (UTC) from which the windows count back, default now; rebuild: build a ready cache anew while it serves. A ready cache without rebuild raises object_not_in_prerequisite_state (55000).';
