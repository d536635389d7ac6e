-- Ageing: killmails that have become too old leave the window. Every step is a transaction of its own, so a run that dies
-- is resumed by the next one, and missed days are caught up.
create or replace procedure entity_stats.age_window(period text, as_of timestamptz default null)
language plpgsql
as $$
declare
    begun constant timestamptz := pg_catalog.clock_timestamp();
    at_time constant timestamptz := entity_stats.require_past(as_of);
    target timestamptz;
    cutoff timestamptz;
    steps bigint;
    total bigint := 0;
begin
    call entity_stats.require_autocommit('age_window');
    perform entity_stats.require_read_committed('age_window');

    select w.cutoff, entity_stats.cutoff_at(at_time, w.days)
    into cutoff, target
    from entity_stats.time_window as w
    where w.period = age_window.period and w.days is not null;

    if not found then
        raise exception 'unknown window: %', period
            using errcode = 'invalid_parameter_value', hint = 'Windows are 90d, 30d and 14d.';
    elsif target <= cutoff then
        raise notice 'Window % begins at % already', period, pg_catalog.to_char(cutoff at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"');
        return;
    end if;
    perform entity_stats.require_source();
    commit; -- killmails are locked next

    call entity_stats.fold_ahead();
    loop
        steps := entity_stats.move_window(period, target);
        commit;
        exit when steps is null;
        total := total + steps;
    end loop;

    raise notice 'Aged % killmails out of %, which begins at % now, in % ms',
        pg_catalog.to_char(total, 'FM999,999,999,990'), period,
        pg_catalog.to_char(target at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'),
        pg_catalog.to_char(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - begun) * 1000, 'FM999,999,999,990');
end
$$;

comment on procedure entity_stats.age_window (text, timestamptz) is
'Moves the cutoff of window 90d, 30d or 14d forward to as_of (UTC, default now) minus its days; never back. Call it with autocommit.';

create or replace procedure entity_stats.age_windows(as_of timestamptz default null)
language plpgsql
as $$
declare
    this_run bigint;
    todo record;
begin
    call entity_stats.require_autocommit('age_windows');
    perform entity_stats.require_past(as_of);
    this_run := entity_stats.start_run_here('cleanup', as_of);
    commit;

    -- The narrow windows first, so that they stay within the wider ones at every commit.
    for todo in select w.period from entity_stats.time_window as w where w.days is not null order by w.days loop
        call entity_stats.age_window(todo.period, as_of);
    end loop;

    call entity_stats.mark_leaders();
    call entity_stats.rank_entities(as_of);
    perform entity_stats.finish_run(this_run, 'success');
end
$$;

comment on procedure entity_stats.age_windows (timestamptz) is
'Ages all windows to as_of (UTC, default now), draws the leaderboards'' marks anew, and ranks everybody. Call it with autocommit.';
