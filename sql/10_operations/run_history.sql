-- What was done in the last days, and how big the cache was after it.
create or replace function entity_stats.run_history(days integer default 30)
returns table (
    run bigint,
    operation text,
    "airflowRun" text,
    "asOf" timestamptz,
    "startedAt" timestamptz,
    "finishedAt" timestamptz,
    seconds double precision,
    outcome text,
    characters bigint,
    corporations bigint,
    alliances bigint,
    "sizeBytes" bigint,
    steps jsonb,
    failed text[]
)
language sql stable
begin atomic
    select
        r.run,
        r.operation,
        r."airflowRun",
        r."asOf",
        r."startedAt",
        r."finishedAt",
        date_part('epoch', r."finishedAt" - r."startedAt") as seconds,
        case
            when
                r.outcome is null
                and r.backend is not null
                and not pg_is_in_recovery()
                and not exists (select from pg_stat_activity as a where a.pid = r.backend)
                then 'failure' -- a procedure whose session has ended
            else r.outcome
        end as outcome,
        r.characters,
        r.corporations,
        r.alliances,
        r."sizeBytes",
        r.steps,
        r.failed
    from entity_stats.run as r
    where r."startedAt" >= now() - days * interval '24 hours'
    order by r.run;
end;

comment on function entity_stats.run_history(integer) is
'Runs of the last days, oldest first: operation, Airflow''s run id, duration, outcome (null while it runs), entities per type and size of the cache at its end, what its steps said and which failed.';
