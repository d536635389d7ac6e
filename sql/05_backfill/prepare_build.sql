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
    at_time constant timestamptz := entity_stats.require_past(as_of);
    first_year integer;
    unusable text;
begin
    perform entity_stats.lock_build(alone => true);
    perform entity_stats.lock_history();
    perform entity_stats.hold_source(as_built => false);
    -- What may take long comes before the gate.
    perform entity_stats.lock_with_retries('access exclusive', 'entity_stats.staged');
    first_year := entity_stats.first_year();
    perform entity_stats.close_gate();
    select s.* into now_state from entity_stats.state as s;

    if now_state.status = 'ready' and not now_state.retaining and not rebuild and not exists (select from public.entity_stats_invalidation) then
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

    if now_state.status = 'ready' and not exists (select from public.entity_stats_invalidation) then
        update entity_stats.state as s set retaining = true;
    else
        delete from public.entity_stats_invalidation;
        delete from entity_stats.aside; -- all committed: the build reads them in killmails
        delete from public.entity_stats_cache; -- not TRUNCATE: whoever still reads an older snapshot must find it
        delete from entity_stats.mark;
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
