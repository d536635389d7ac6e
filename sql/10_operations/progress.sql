-- How far a running build is, first or rebuild: for the page, and for whoever waits in psql (\watch).
create or replace function entity_stats.progress()
returns table (
    stage text,
    slices bigint,
    done bigint,
    percent numeric,
    staged bigint,
    "startedAt" timestamptz,
    "lastSliceAt" timestamptz,
    "estimatedEnd" timestamptz
)
language sql stable
begin atomic
    select
        case when p.done < p.slices then 'building' else 'finishing' end as stage,
        p.slices,
        p.done,
        round(100.0 * p.done / nullif(p.slices, 0), 1) as percent,
        p.staged,
        s."startedAt",
        p."lastSliceAt",
        -- As fast as up to the last slice; an interruption counts as time that the build took. A slice that takes longer than
        -- the others so far is taken to end now.
        case
            when p.done between 1 and p.slices - 1
                then greatest(
                    p."lastSliceAt" + (p."lastSliceAt" - s."startedAt") * (p.slices - p.done)::double precision / p.done,
                    now() + (p."lastSliceAt" - s."startedAt") * (p.slices - p.done - 1)::double precision / p.done
                )
        end as "estimatedEnd"
    from entity_stats.state as s
    cross join (
        select
            count(*) as slices,
            count(h.snapshot) as done,
            coalesce(sum(h.entities), 0)::bigint as staged,
            max(h."finishedAt") as "lastSliceAt"
        from entity_stats.phase as h
    ) as p
    where s.status = 'backfilling' or s.retaining;
end;

comment on function entity_stats.progress() is
'One row while a backfill or rebuild runs: stage building or finishing, slices done, totals gathered (an entity has one per slice), estimated end of the building stage; else no row.';
