-- The first step of a build.
create or replace procedure entity_stats.backfill_begin(as_of timestamptz default null, rebuild boolean default false)
language plpgsql
as $$
declare
    at_time constant timestamptz := entity_stats.require_past(as_of);
    todo record;
    done_to bigint;
begin
    call entity_stats.require_autocommit('backfill_begin');
    perform entity_stats.require_read_committed('backfill_begin');
    call entity_stats.look_at_source();
    perform entity_stats.hold_source(as_built => false);

    -- A rebuild of a ready cache moves its windows first, forward or back, step by step: then cutoffs stand still. Forward the
    -- narrow ones first, back the wide ones, so that the narrow stay within the wide at every commit.
    if
        rebuild
        and (select s.status = 'ready' and not s.retaining from entity_stats.state as s)
        and not exists (select from public.entity_stats_invalidation)
    then
        commit; -- killmails are locked next
        call entity_stats.fold_ahead(); -- each step of the windows reads all that is pending
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

    -- In small steps, so that the gate is never closed for long.
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
