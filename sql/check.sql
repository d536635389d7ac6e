-- Checks every claim, for cron and for monitoring that must not depend on a scheduler: prints which hold, and of those that do not
-- what they mean, what to do, and up to 20 offending rows; keeps the results in entity_stats.check_run. The exit status is not 0
-- when a claim fails: the cache is wrong, stale or not ready. A warning does not fail.
--   psql -v ON_ERROR_STOP=1 -f sql/check.sql
--   psql -v ON_ERROR_STOP=1 -v full=1 -f sql/check.sql    compares every figure with killmails as well
\set ON_ERROR_STOP on
\set QUIET on
\pset tuples_only on
\pset format unaligned
\if :{?full}
do $$ begin perform set_config('entity_stats.check_full', 'on', false); end $$;
\endif

do $$
declare
    this_run constant bigint := entity_stats.start_run('check', now());
    claim text;
begin
    perform set_config('entity_stats.run', this_run::text, false);
    commit;

    for claim in
        select c.claim
        from entity_stats.claims() as c
        where c.severity <> 'full' or current_setting('entity_stats.check_full', true) = 'on'
    loop
        perform entity_stats.run_check(this_run, claim);
        commit;
    end loop;

    perform entity_stats.finish_run(
        this_run,
        case
            when exists (select from entity_stats.verification(this_run) as v where v.offending > 0 and v.severity <> 'warn') then 'failure'
            else 'success'
        end
    );
end
$$;

select
    case
        when v.offending = 0 then 'ok    ' || v.claim
        else
            concat_ws(
                e'\n',
                format(e'\n%s  %s: %s %s', upper(v.severity), v.claim, v.offending, case when v.offending = 1 then 'row' else 'rows' end),
                c.meaning,
                (
                    select string_agg(o.item::text, e'\n')
                    from jsonb_array_elements(v.sample) with ordinality as o (item, nth)
                    where o.nth <= 20
                ),
                ''
            )
    end as result
from entity_stats.verification(current_setting('entity_stats.run')::bigint) as v
inner join entity_stats.claims() as c on v.claim = c.claim
order by v.offending > 0, v.severity desc, v.claim;

do $$
declare
    this_run constant bigint := current_setting('entity_stats.run');
    failed constant text := (
        select string_agg(v.claim, ', ' order by v.claim)
        from entity_stats.verification(this_run) as v
        where v.offending > 0 and v.severity <> 'warn'
    );
begin
    if failed is not null then
        raise exception 'the cache does not hold what it claims: %', failed
            using hint = format('See above. To recalculate up to 100 entities that are listed: call entity_stats.repair(%s);', this_run);
    end if;
end
$$;
