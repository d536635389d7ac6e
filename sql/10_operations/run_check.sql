-- Checks one claim and keeps the result. The server counts: a cache that is wrong everywhere does not fit into a client.
create or replace function entity_stats.run_check(run bigint, claim text)
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
    severity constant text := (select c.severity from entity_stats.claims() as c where c.claim = run_check.claim);
    offending bigint;
    sample jsonb;
begin
    if severity is null then
        raise exception 'there is no claim %', claim
            using errcode = 'undefined_table', hint = 'select * from entity_stats.claims() lists them. Is this version deployed?';
    end if;

    execute format(
        'select count(*), coalesce(jsonb_agg(to_jsonb(o) - ''nth'') filter (where o.nth <= %s), ''[]'') '
        'from (select r.*, row_number() over () as nth from entity_stats.%I as r) as o',
        kept, claim
    )
    into offending, sample;

    return query
    insert into entity_stats.check_run (run, claim, severity, offending, sample, duration)
    values (run_check.run, run_check.claim, severity, offending, sample, clock_timestamp() - begun)
    returning *;
end
$$;

comment on function entity_stats.run_check(bigint, text) is
'Checks a claim and keeps the result under a run: its severity, the number of rows that offend it, the first 500 of them.';
