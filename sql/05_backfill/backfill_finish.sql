-- The finish: adds what the phases have not seen, writes the truth to the cache, and declares it ready.
-- A first build has filled the empty cache, which nobody folds into yet: it adds the facts that the phases have not seen. A
-- rebuild compares: range by range it writes what a ready cache lacks.
create or replace procedure entity_stats.backfill_finish()
language plpgsql
as $$
declare
    step integer := 20; -- rows of the ledger
    begun constant timestamptz := pg_catalog.clock_timestamp();
    reported timestamptz := begun;
    written bigint;
    total bigint := 0;
    seen bigint;
    first_build boolean;
begin
    call entity_stats.require_autocommit('backfill_finish');
    perform entity_stats.require_read_committed('backfill_finish');
    if not exists (select from entity_stats.state as s where s.status = 'backfilling' or s.retaining) then
        raise notice 'Nothing to finish: no backfill is running';
        perform entity_stats.discard_staging();
        return;
    end if;

    perform entity_stats.lock_build(alone => true);
    perform entity_stats.refuse_disturbed();

    first_build := (select s.status = 'backfilling' from entity_stats.state as s);

    if first_build then
        total := coalesce(entity_stats.finish_loading(), 0);
        commit;
    elsif pg_catalog.to_regclass('entity_stats.staged_entity') is null then
        create index staged_entity on entity_stats.staged ("entityId");
        commit;
    end if;

    if not first_build then
        call entity_stats.fold_ahead(); -- every range looks through what is pending
    end if;

    -- In small steps, because COMMITs wait for each of them at the gate; they grow, so that they catch up with any number of writers.
    loop
        seen := entity_stats.absorb_some(step);
        commit;
        exit when seen < step;
        step := least(1000, step + step / 10);
    end loop;

    if not entity_stats.open_cache() then
        raise exception 'another session has finished the backfill'
            using errcode = 'lock_not_available', hint = 'Nothing is left to do: select * from entity_stats.status() shows the result.';
    end if;
    commit;

    loop
        written := entity_stats.finish_range(5000);
        commit;
        exit when written is null;

        total := total + written;
        if pg_catalog.clock_timestamp() - reported > interval '5 seconds' then
            raise notice '  % entities written', pg_catalog.to_char(total, 'FM999,999,999,990');
            reported := pg_catalog.clock_timestamp();
        end if;
    end loop;

    call entity_stats.mark_leaders();

    perform entity_stats.discard_staging();
    commit;

    raise notice 'Finished: wrote % entities in % ms',
        pg_catalog.to_char(total, 'FM999,999,999,990'),
        pg_catalog.to_char(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - begun) * 1000, 'FM999,999,999,990');
end
$$;

comment on procedure entity_stats.backfill_finish () is
'Turns the staged phases into the ready cache while killmails keep arriving; killed and called again, it goes on where it stopped.';
