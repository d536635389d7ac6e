-- What was done to the cache, and what checks found: history for operators, read by the summary.
create table if not exists entity_stats.run (
    run bigint primary key generated always as identity,
    operation text not null,
    "asOf" timestamptz,
    "startedAt" timestamptz not null default clock_timestamp(),
    "finishedAt" timestamptz,
    outcome text,
    detail jsonb not null default '{}'
);

create table if not exists entity_stats.check_run (
    run bigint not null references entity_stats.run on delete cascade,
    claim text not null,
    severity text not null,
    "checkedAt" timestamptz not null default clock_timestamp(),
    offending bigint not null,
    sample jsonb not null default '[]',
    duration interval not null,
    primary key (run, claim, "checkedAt")
);

create table if not exists entity_stats.correction (
    "correctedAt" timestamptz not null default clock_timestamp(),
    "entityId" bigint not null,
    "entityType" text not null,
    "column" text not null,
    cached text,
    actual text,
    primary key ("correctedAt", "entityType", "entityId", "column")
);

comment on table entity_stats.run is 'Runs of backfill, cleanup, recalculation and verification.';
comment on column entity_stats.run.outcome is 'success or failure; null while it runs.';
comment on column entity_stats.run.detail is 'Counts and durations, by name.';
comment on table entity_stats.check_run is 'Results of checks: how many rows offend each claim, and some of them.';
comment on column entity_stats.check_run.severity is 'fail, warn or full: the folder of the check.';
comment on table entity_stats.correction is 'Cells that recalculation has changed.';

create or replace function entity_stats.start_run(operation text, as_of timestamptz default null, detail jsonb default '{}')
returns bigint
language sql
set search_path = pg_catalog, pg_temp
begin atomic
    -- A copy by logical replication has the rows, and a sequence that knows nothing of them.
    insert into entity_stats.run (run, operation, "asOf", detail)
    overriding system value
    select
        greatest(nextval('entity_stats.run_run_seq'), (select max(r.run) + 1 from entity_stats.run as r)),
        start_run.operation, start_run.as_of, start_run.detail
    returning run.run;
end;

create or replace function entity_stats.start_run_here(operation text, as_of timestamptz default null)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A DAG that calls the procedure has opened its own.
    if exists (
        select
        from entity_stats.run as r
        where
            r.outcome is null
            and r.operation = start_run_here.operation
            and not r.detail ? 'backend'
            and r."startedAt" > now() - interval '1 day'
    ) then
        return null;
    end if;

    -- Whoever failed or was killed cannot have said so: a procedure that commits as it goes has no handler around it.
    update entity_stats.run as r
    set outcome = 'failure'
    where
        r.outcome is null
        and r.operation = start_run_here.operation
        and r.detail ? 'backend'
        and not exists (
            select from pg_stat_activity as a where a.pid = (r.detail ->> 'backend')::integer and a.pid <> pg_backend_pid()
        );
    return entity_stats.start_run(operation, coalesce(as_of, now()), jsonb_build_object('backend', pg_backend_pid()));
end
$$;

create or replace function entity_stats.finish_run(run bigint, outcome text, detail jsonb default '{}')
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    update entity_stats.run as r
    set
        "finishedAt" = clock_timestamp(),
        outcome = finish_run.outcome,
        detail = r.detail || finish_run.detail || jsonb_build_object(
            'cacheBytes', pg_total_relation_size('public.entity_stats_cache'),
            'entities', (
                select coalesce(jsonb_object_agg(e."entityType", e.entities), '{}')
                from (
                    select c."entityType", count(*) as entities
                    from public.entity_stats_cache as c
                    group by c."entityType"
                ) as e
            )
        )
    where r.run = finish_run.run;

    perform entity_stats.prune_runs();
end
$$;

create or replace function entity_stats.prune_runs(keep interval default '90 days')
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    pruned bigint;
begin
    delete from entity_stats.run as r where r."startedAt" < now() - keep;
    get diagnostics pruned = row_count;
    delete from entity_stats.correction as c where c."correctedAt" < now() - keep;
    return pruned;
end
$$;

comment on function entity_stats.start_run(text, timestamptz, jsonb) is 'Opens a row of the run history; returns its number.';
comment on function entity_stats.start_run_here(text, timestamptz) is
'Opens a row of the run history for a procedure that is called in this session, unless a DAG has one open (null then); closes those of its operation whose sessions have ended without closing them.';
comment on function entity_stats.finish_run(bigint, text, jsonb) is 'Closes a run: outcome success or failure; adds to its detail the one given, the size of the cache in bytes and its entities per type; prunes history.';
comment on function entity_stats.prune_runs(interval) is 'Deletes history older than keep; returns how many runs went.';
