-- The whole backfill for whoever works without Airflow; the DAG calls the same steps.
create or replace procedure entity_stats.backfill(as_of timestamptz default null, rebuild boolean default false)
language plpgsql
as $$
declare
    begun constant timestamptz := pg_catalog.clock_timestamp();
    this_run bigint;
    todo record;
begin
    call entity_stats.require_autocommit('backfill');
    call entity_stats.backfill_begin(as_of, rebuild); -- what it refuses was not begun
    this_run := entity_stats.start_run_here('backfill', as_of);
    commit;

    for todo in
        select w.period, t.type
        from entity_stats.time_window as w
        cross join (values ('character'), ('corporation'), ('alliance')) as t (type)
        order by w.bit
    loop
        call entity_stats.backfill_phase(todo.period, todo.type);
    end loop;

    call entity_stats.backfill_finish();
    perform entity_stats.finish_run(this_run, 'success', pg_catalog.jsonb_build_object('rebuild', rebuild));

    raise notice 'Backfill complete: % entities in % s',
        pg_catalog.to_char((select count(*) from public.entity_stats_cache), 'FM999,999,999,990'),
        pg_catalog.to_char(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - begun), 'FM999,999,990.0');
end
$$;

comment on procedure entity_stats.backfill (timestamptz, boolean) is
'Fills the cache from killmails while they keep arriving: begin, four periods of three entity types each, finish. Killed and called again, it resumes. as_of: time (UTC) from which the windows count back, default now; rebuild: build a ready cache anew while it serves.';
