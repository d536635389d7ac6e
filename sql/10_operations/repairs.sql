-- What runs have found wrong and mended: for the morning after.
create or replace function entity_stats.repairs(days integer default 7)
returns table (
    run bigint,
    operation text,
    "airflowRun" text,
    "finishedAt" timestamptz,
    claims text[],
    held boolean,
    entities bigint,
    cells bigint,
    sample jsonb
)
language sql stable
begin atomic
    select
        r.run,
        r.operation,
        r."airflowRun",
        r."finishedAt",
        c.claims,
        c.held,
        k.entities,
        k.cells,
        k.sample
    from entity_stats.run as r
    cross join
        lateral (
            select
                array_agg(f.claim order by f.claim) as claims,
                bool_and(f.offending = 0) as held
            from (
                select distinct on (e.claim) e.claim, e.offending
                from entity_stats.check_run as e
                where
                    e.run = r.run
                    and exists (
                        select
                        from entity_stats.check_run as b
                        where b.run = e.run and b.claim = e.claim and b.offending > 0 and b.severity <> 'warn'
                    )
                order by e.claim, e."checkedAt" desc
            ) as f
        ) as c
    cross join
        lateral (
            select
                count(*) as cells,
                count(distinct row(n."entityType", n."entityId")) as entities,
                jsonb_agg(to_jsonb(n) - 'nth') filter (where n.nth <= 20) as sample
            from (
                select
                    o."entityType",
                    o."entityId",
                    o."column",
                    o.cached,
                    o.actual,
                    row_number() over (order by o."correctedAt", o."entityType", o."entityId", o."column") as nth
                from entity_stats.correction as o
                where o."correctedAt" between r."startedAt" and coalesce(r."finishedAt", 'infinity')
            ) as n
        ) as k
    where r."startedAt" >= now() - repairs.days * interval '24 hours' and k.cells > 0
    order by r.run desc;
end;

comment on function entity_stats.repairs(integer) is
'Runs of the last days in whose time figures were corrected, newest first: claims that had failed (null: none was checked), whether all of them held at its end, entities and cells corrected, and the first 20 of these.';
