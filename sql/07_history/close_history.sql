-- What the nightly cleanup calls: closes all days that are over.
create or replace procedure entity_stats.close_history(as_of timestamptz default null)
language plpgsql
as $$
declare
    to_day constant date := pg_catalog.date_trunc('day', entity_stats.require_past(as_of) at time zone 'UTC');
    step text;
    reported timestamptz := pg_catalog.clock_timestamp();
begin
    call entity_stats.require_autocommit('close_history');
    if not (select h.wanted from entity_stats.history as h) then
        raise notice 'No history is kept; to keep one: call entity_stats.fill_history()';
        return;
    end if;
    perform entity_stats.require_read_committed('close_history');
    perform entity_stats.require_source(as_built => false);
    commit;

    -- Each step reads all that is pending or late. Folded before folds keep what is late, most of it is neither.
    call entity_stats.fold_ahead();
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
'Closes all days before as_of (UTC, default now) that are not, a month per transaction, folds what is pending and applies what came late, drops old days; nothing where no history is kept. Killed and called again, it goes on. Call it with autocommit.';
