-- The newest result of each claim, whoever checked it. A run that succeeded has checked all of its severities: what is older says nothing
-- more, e.g. about a claim that an upgrade has taken away. Whether windows are overdue is a matter of the moment, not of the last check.
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
    select
        n.run,
        n.claim,
        n.severity,
        n."checkedAt",
        coalesce(t.offending, n.offending) as offending,
        coalesce(t.sample, n.sample) as sample,
        n.duration
    from (
        select distinct on (c.severity, c.claim) c.*
        from entity_stats.check_run as c
        where
            c.run = in_run
            or (
                in_run is null
                and c.run >= (
                    select coalesce(max(e.run) filter (where r.outcome = 'success'), min(e.run))
                    from entity_stats.check_run as e
                    inner join entity_stats.run as r on e.run = r.run
                    where e.severity = c.severity
                )
            )
        order by c.severity, c.claim, c."checkedAt" desc
    ) as n
    left join lateral (
        select
            count(*) as offending,
            coalesce(jsonb_agg(o), '[]') as sample
        from entity_stats.overdue_windows() as o
    ) as t on verification.in_run is null and n.claim = 'cutoffs_are_fresh'
    order by n.severity, n.claim;
end;

comment on function entity_stats.verification(bigint) is
'Newest result of each claim, or of run in_run: offending rows, a sample of them, when last checked. Whether cutoffs_are_fresh holds is judged now.';
