-- The newest result of each claim. Severities are verified on days of their own (full: weekly), so each has its own last run;
-- a run that is still going replaces its predecessor claim by claim.
create or replace function entity_stats.verification(in_run bigint default null)
returns table (
    run bigint,
    claim text,
    severity text,
    "checkedAt" timestamptz,
    offending bigint,
    sample jsonb,
    duration interval
)
language sql stable
begin atomic
    select distinct on (c.severity, c.claim)
        c.run,
        c.claim,
        c.severity,
        c."checkedAt",
        c.offending,
        c.sample,
        c.duration
    from entity_stats.check_run as c
    where
        c.run = in_run
        or (
            in_run is null
            and c.run >= (
                select coalesce(max(e.run) filter (where r."finishedAt" is not null), min(e.run))
                from entity_stats.check_run as e
                inner join entity_stats.run as r on e.run = r.run
                where e.severity = c.severity
            )
        )
    order by c.severity, c.claim, c."checkedAt" desc;
end;

comment on function entity_stats.verification(bigint) is
'Newest result of each claim of the last verification of its severity, or of run in_run: offending rows, a sample of them, when checked.';
