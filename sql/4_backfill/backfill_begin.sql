-- Prepares a build: what there is to do, from which cutoffs. A build that was interrupted is resumed where it stopped.
create or replace function entity_stats.prepare_build(as_of timestamptz, rebuild boolean)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    now_state entity_stats.state;
    identity constant bigint := (select c.system_identifier from pg_control_system() as c);
    at_time constant timestamptz := entity_stats.past(as_of);
    first_year integer;
    unusable text;
begin
    perform entity_stats.claim_build(alone => true);
    perform entity_stats.claim_history();
    perform entity_stats.hold_source(as_built => false);
    -- What may take long comes before the gate.
    perform entity_stats.lock_patiently('entity_stats.staged', 'access exclusive');
    first_year := entity_stats.first_year();
    perform entity_stats.close_gate();
    select s.* into now_state from entity_stats.state as s;

    if now_state.status = 'ready' and not now_state.retaining and not rebuild and not exists (select from entity_stats.invalidation) then
        raise exception 'the cache is ready: there is nothing to backfill'
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'To build it again, while it serves: call entity_stats.backfill(rebuild => true), or the DAG''s param rebuild.';
    end if;

    if now_state.status = 'backfilling' or now_state.retaining then
        unusable := entity_stats.disturbance();

        if unusable is null then
            return format(
                'Resuming the backfill as of %s begun at %s: %s of %s slices are done',
                now_state."asOf", now_state."startedAt",
                (select count(*) from entity_stats.phase as p where p.snapshot is not null),
                (select count(*) from entity_stats.phase)
            );
        end if;
    end if;

    perform entity_stats.clear_staging();
    delete from entity_stats.phase;
    delete from entity_stats.ledger as l where l.folded;
    update entity_stats.ledger as l set absorbed = false where l.absorbed;
    update entity_stats.history as h set "closedTo" = null; -- built anew as well, once the cache is

    -- The transaction ids of a restored ledger are yet to come here, so no snapshot would have seen them. All are committed.
    if now_state."systemIdentifier" is distinct from identity then
        update entity_stats.ledger as l set xid = pg_current_xact_id(), reason = coalesce(l.reason, 'captured before the first build on this server');
    end if;

    if now_state.status = 'ready' and not exists (select from entity_stats.invalidation) then
        update entity_stats.state as s set retaining = true;
    else
        delete from entity_stats.invalidation;
        delete from entity_stats.aside; -- all committed: the build reads them in killmails
        delete from public.entity_stats_cache; -- not TRUNCATE: whoever still reads an older snapshot must find it
        delete from entity_stats.mark;
        delete from entity_stats.leader;
        delete from entity_stats.late;
        update entity_stats.state as s
        set
            status = 'backfilling',
            "historyTo" = null, -- until it is ready nobody folds, and so keeps anything for the history
            retaining = false,
            "readyAt" = null,
            "cutoff90d" = entity_stats.cutoff_at(at_time, 90),
            "cutoff30d" = entity_stats.cutoff_at(at_time, 30),
            "cutoff14d" = entity_stats.cutoff_at(at_time, 14);
    end if;

    update entity_stats.state as s
    set
        "asOf" = at_time,
        "systemIdentifier" = identity,
        "startedAt" = clock_timestamp(),
        "finishedTo" = null;
    perform entity_stats.record_source();

    insert into entity_stats.phase (period, "entityType", slice, "fromTime", "toTime", parts)
    select s.period, t.type, s.slice, s.from_time, s.to_time, 1
    from entity_stats.slices(first_year, entity_stats.years_per_slice(first_year)) as s
    cross join (values ('character'), ('corporation'), ('alliance')) as t (type)
    where (select r.retaining from entity_stats.state as r)
    union all
    select w.period, t.type, n.part, w.cutoff, null, t.parts
    from entity_stats.time_window as w
    cross join (values ('character', entity_stats.parts_of_characters()), ('corporation', 1), ('alliance', 1)) as t (type, parts)
    cross join lateral generate_series(1, t.parts) as n (part)
    where not (select r.retaining from entity_stats.state as r);

    return format('Backfilling as of %s', at_time) || coalesce('; the interrupted backfill cannot go on: ' || unusable, '');
end
$$;

comment on function entity_stats.prepare_build(timestamptz, boolean) is
'Under the gate: sets cutoffs, status and the list of slices, or finds the build to resume; returns what it did, in words.';

create or replace function entity_stats.clear_wrong_rows(done_to bigint, most integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_custom_plan -- with the ids in the plan, the index answers
as $$
declare
    to_id bigint;
begin
    perform entity_stats.claim_build(alone => true);
    perform entity_stats.close_gate();
    lock table public.entity_stats_cache in row exclusive mode; -- before it is read: REINDEX holds it and waits for readers of its indexes

    if
        not exists (select from entity_stats.invalidation)
        and (entity_stats.disturbance() is null or not exists (select from entity_stats.state as s where s.status = 'backfilling'))
    then
        return null;
    end if;

    select max(e."entityId") into to_id
    from (
        select c."entityId"
        from public.entity_stats_cache as c
        where done_to is null or c."entityId" > done_to
        order by c."entityId"
        limit most
    ) as e;

    delete from public.entity_stats_cache as c where (done_to is null or c."entityId" > done_to) and c."entityId" <= to_id;

    return to_id;
end
$$;

comment on function entity_stats.clear_wrong_rows(bigint, integer) is
'Under the gate: removes the next rows, about most after id done_to (null: from the first), of a cache that is invalid or half filled by a build that cannot go on; returns the last id, null when there is nothing to remove.';

create or replace function entity_stats.clear_staging()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    truncate entity_stats.staged;
    if to_regclass('entity_stats.staged_entity') is not null then
        drop index entity_stats.staged_entity;
    end if;
end
$$;

comment on function entity_stats.clear_staging() is 'Empties the staging and takes away the indexes that only the finish needs.';

-- All-time is read by ranges of calendar years where partitions make a year cheap to read; else a slice would read the whole table.
create or replace function entity_stats.first_year()
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set row_security = off
as $$
declare
    this_year constant integer := date_part('year', now() at time zone 'UTC');
    first_time timestamptz;
begin
    if exists (select from pg_partitioned_table as t where t.partrelid = 'public.killmails'::regclass) then
        select min(k."killmailTime") into first_time
        from entity_stats.killmail() as k
        where isfinite(k."killmailTime");
    end if;

    return least(coalesce(date_part('year', first_time at time zone 'UTC')::integer, this_year), this_year);
end
$$;

comment on function entity_stats.first_year() is 'Year (UTC) of the first killmail of a partitioned table, else this year.';

-- So many years that a slice takes seconds and adds few totals of its own: about four million killmails, whose totals fit into
-- the work_mem of build_slice().
create or replace function entity_stats.years_per_slice(first_year integer)
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select greatest(1, y.years * pg_size_bytes('600 MB') / greatest(1, sum(pg_relation_size(l.leaf))))::integer
    from (select date_part('year', now() at time zone 'UTC')::integer - years_per_slice.first_year + 1 as years) as y
    cross join unnest(entity_stats.leaves()) as l (leaf)
    group by y.years;
end;

comment on function entity_stats.years_per_slice(integer) is 'How many calendar years, of those since first_year, hold about 600 MB of killmails.';

-- Characters are more than half of the work of a first build, and most of its memory. Each part reads all killmails.
create or replace function entity_stats.parts_of_characters()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select case when s.bytes < pg_size_bytes('100 MB') then 1 else 2 + s.bytes / pg_size_bytes('2 GB') end::integer
    from (select coalesce(sum(pg_relation_size(l.leaf)), 0) as bytes from unnest(entity_stats.leaves()) as l (leaf)) as s;
end;

comment on function entity_stats.parts_of_characters() is
'In how many parts a first build takes the characters: one below 100 MB of killmails (a million is 120 MB), else two, and one more for every 2 GB.';

create or replace function entity_stats.slices(first_year integer, years integer)
returns table (period text, slice integer, from_time timestamptz, to_time timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select
        w.period,
        (y.year - slices.first_year) / slices.years + 1 as slice,
        case when y.year = slices.first_year then '-infinity' else make_timestamptz(y.year, 1, 1, 0, 0, 0, 'UTC') end as from_time,
        case when y.year < y.last then make_timestamptz(y.year + slices.years, 1, 1, 0, 0, 0, 'UTC') end as to_time
    from entity_stats.time_window as w
    cross join (
        select
            g.year,
            max(g.year) over () as last
        from generate_series(slices.first_year, date_part('year', now() at time zone 'UTC')::integer, slices.years) as g (year)
    ) as y
    where w.days is null
    union all
    select
        w.period,
        1,
        w.cutoff,
        null
    from entity_stats.time_window as w
    where w.days is not null;
end;

comment on function entity_stats.slices(integer, integer) is 'Ranges of killmail times that a build reads one by one: so many years each for all-time, one range per window.';

create or replace procedure entity_stats.backfill_begin(as_of timestamptz default null, rebuild boolean default false)
language plpgsql
as $$
declare
    at_time constant timestamptz := entity_stats.past(as_of);
    todo record;
    done_to bigint;
begin
    call entity_stats.require_autocommit('backfill_begin');
    call entity_stats.look_at_source();
    perform entity_stats.hold_source(as_built => false);

    -- A rebuild of a ready cache moves its windows first, forward or back, step by step: then cutoffs stand still. Forward the
    -- narrow ones first, back the wide ones, so that the narrow stay within the wide at every commit.
    if
        rebuild
        and (select s.status = 'ready' and not s.retaining from entity_stats.state as s)
        and not exists (select from entity_stats.invalidation)
    then
        for todo in
            select w.period, w.target
            from (
                select t.period, t.days, t.cutoff, entity_stats.cutoff_at(at_time, t.days) as target
                from entity_stats.time_window as t
                where t.days is not null
            ) as w
            order by w.target < w.cutoff, case when w.target < w.cutoff then - w.days else w.days end
        loop
            while entity_stats.move_window(todo.period, todo.target, back => true) is not null loop
                commit;
            end loop;
            commit;
        end loop;
    end if;

    -- What is wrong is read by nobody any more: it goes in small steps, so that the gate is never closed for long.
    loop
        done_to := entity_stats.clear_wrong_rows(done_to, 10000);
        commit;
        exit when done_to is null;
    end loop;

    raise notice '%', entity_stats.prepare_build(as_of, rebuild);
    commit;
end
$$;

comment on procedure entity_stats.backfill_begin (timestamptz, boolean) is
'Begins or resumes a backfill. as_of: time (UTC) from which the windows count back, default now; rebuild: build a ready cache anew while it serves. A ready cache without rebuild raises object_not_in_prerequisite_state (55000).';
