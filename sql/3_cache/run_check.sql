-- Runs one check and keeps its result. The server counts: a cache that is wrong everywhere does not fit into a client.
create or replace function entity_stats.run_check(run bigint, claim text, severity text, query text)
returns setof entity_stats.check_run
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
set work_mem = '64MB'
as $$
declare
    kept constant integer := 500;
    begun constant timestamptz := clock_timestamp();
    offending bigint;
    sample jsonb;
begin
    execute format(
        e'select count(*), coalesce(jsonb_agg(to_jsonb(o) - ''nth'') filter (where o.nth <= %s), ''[]'') '
        'from (select r.*, row_number() over () as nth from (%s\n) as r) as o',
        kept, rtrim(query, e'; \n')
    )
    into offending, sample;

    return query
    insert into entity_stats.check_run (run, claim, severity, offending, sample, duration)
    values (run_check.run, run_check.claim, run_check.severity, offending, sample, clock_timestamp() - begun)
    returning *;
end
$$;

comment on function entity_stats.run_check(bigint, text, text, text) is
'Runs the query of a claim, which returns what offends it, and keeps the result under a run: severity fail, warn or full, number of rows, the first 500 of them.';
