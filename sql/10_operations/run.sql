-- What was done to the cache, and what checks found: history for operators, read by the summary.
create table if not exists entity_stats.run (
    run bigint primary key generated always as identity,
    operation text not null,
    "asOf" timestamptz,
    "startedAt" timestamptz not null default clock_timestamp(),
    "finishedAt" timestamptz,
    outcome text,
    steps jsonb not null default '{}',
    "asOfGiven" boolean not null default false,
    "airflowRun" text,
    backend integer,
    characters bigint,
    corporations bigint,
    alliances bigint,
    "sizeBytes" bigint,
    failed text[] not null default '{}'
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

comment on table entity_stats.run is 'Runs of backfill, cleanup, recalculation and verification.';
comment on column entity_stats.run.outcome is 'success or failure; null while it runs.';
comment on column entity_stats.run."asOfGiven" is 'Somebody has asked for "asOf"; else it is when the run was due.';
comment on column entity_stats.run."airflowRun" is 'Airflow''s id of the run; null: it was called in a session.';
comment on column entity_stats.run.backend is 'Process of the session that called a procedure; null: a run of Airflow, or sql/check.sql.';
comment on column entity_stats.run.characters is 'Characters in the cache at its end; corporations and alliances likewise.';
comment on column entity_stats.run."sizeBytes" is 'Size of the cache at its end, with its indexes.';
comment on column entity_stats.run.steps is 'What its tasks said, an array of lines under each heading.';
comment on column entity_stats.run.failed is 'Tasks that have failed.';
comment on table entity_stats.check_run is 'Results of checks: how many rows offend each claim, and some of them.';
comment on column entity_stats.check_run.severity is 'fail, warn or full: the first word of the comment on the claim.';

create or replace function entity_stats.start_run(
    operation text, as_of timestamptz default null, as_of_given boolean default false, airflow_run text default null, backend integer default null
)
returns bigint
language sql
set search_path = pg_catalog, pg_temp
begin atomic
    -- A copy by logical replication has the rows, and a sequence that knows nothing of them.
    insert into entity_stats.run (run, operation, "asOf", "asOfGiven", "airflowRun", backend)
    overriding system value
    select
        greatest(nextval('entity_stats.run_run_seq'), (select max(r.run) + 1 from entity_stats.run as r)),
        start_run.operation, start_run.as_of, start_run.as_of_given, start_run.airflow_run, start_run.backend
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
            and r.backend is null
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
        and r.backend is not null
        and not exists (select from pg_stat_activity as a where a.pid = r.backend and a.pid <> pg_backend_pid());
    return entity_stats.start_run(operation, coalesce(as_of, now()), backend => pg_backend_pid());
end
$$;

create or replace function entity_stats.finish_run(run bigint, outcome text, steps jsonb default '{}', failed text[] default '{}')
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
        characters = e.characters,
        corporations = e.corporations,
        alliances = e.alliances,
        "sizeBytes" = pg_total_relation_size('public.entity_stats_cache'),
        steps = finish_run.steps,
        failed = finish_run.failed
    from (
        select
            count(*) filter (where c."entityType" = 'character') as characters,
            count(*) filter (where c."entityType" = 'corporation') as corporations,
            count(*) filter (where c."entityType" = 'alliance') as alliances
        from public.entity_stats_cache as c
    ) as e
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

comment on function entity_stats.start_run(text, timestamptz, boolean, text, integer) is
'Opens a row of the run history, as of a moment (UTC) that somebody asked for or not, of a run of Airflow or of a session; returns its number.';
comment on function entity_stats.start_run_here(text, timestamptz) is
'Opens a row of the run history for a procedure that is called in this session, unless a DAG has one open (null then); closes those of its operation whose sessions have ended without closing them.';
comment on function entity_stats.finish_run(bigint, text, jsonb, text[]) is
'Closes a run: outcome success or failure, what its steps said and which have failed; notes the entities and the size of the cache, and prunes history.';
comment on function entity_stats.prune_runs(interval) is 'Deletes history older than keep; returns how many runs went.';
