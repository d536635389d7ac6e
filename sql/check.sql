-- Runs every claim of 7_checks/, for cron and for monitoring that must not depend on a scheduler: prints which hold, and of
-- those that do not what they mean, what to do, and up to 20 offending rows; keeps the results in entity_stats.check_run. The exit
-- status is not 0 when a claim fails: the cache is wrong, stale or not ready. A warning does not fail. In the repository's folder:
--   psql -v ON_ERROR_STOP=1 -f sql/check.sql
--   psql -v ON_ERROR_STOP=1 -v full=1 -f sql/check.sql    compares every figure with killmails as well
-- Elsewhere, ENTITY_STATS_SQL in the environment names the folder sql/.
\set ON_ERROR_STOP on
\set QUIET on
\pset tuples_only on
\pset format unaligned
\if :{?full}
\setenv ENTITY_STATS_FULL full
\else
\setenv ENTITY_STATS_FULL
\endif

create temporary table check_line (number integer generated always as identity, line text);

\copy check_line (line) from program 'cd "${ENTITY_STATS_SQL:-sql}/7_checks" && grep "" fail/*.sql warn/*.sql ${ENTITY_STATS_FULL:+full/*.sql}' with (format csv, delimiter E'\x01', quote E'\x02')

create temporary table checked (like entity_stats.check_run, text text);

do $$
declare
    this_run bigint;
    todo record;
begin
    this_run := entity_stats.start_run('check', now());
    commit;

    for todo in
        select
            split_part(f.path, '/', 1) as severity,
            split_part(f.path, '/', 2) as claim,
            string_agg(f.line, e'\n' order by f.number) as query,
            string_agg(ltrim(f.line, '- '), e'\n' order by f.number) filter (where f.line like '--%') as text
        from (
            select l.number, split_part(l.line, '.sql:', 1) as path, substr(l.line, strpos(l.line, '.sql:') + 5) as line
            from pg_temp.check_line as l
        ) as f
        group by f.path
        order by f.path
    loop
        insert into pg_temp.checked
        select c.*, todo.text
        from entity_stats.run_check(this_run, todo.claim, todo.severity, todo.query) as c;
        commit;
    end loop;

    perform entity_stats.finish_run(
        this_run,
        case when exists (select from pg_temp.checked as c where c.offending > 0 and c.severity <> 'warn') then 'failure' else 'success' end
    );
end
$$;

select
    case
        when c.offending = 0 then 'ok    ' || c.claim
        else
            concat_ws(
                e'\n',
                format(e'\n%s  %s: %s %s', upper(c.severity), c.claim, c.offending, case when c.offending = 1 then 'row' else 'rows' end),
                c.text,
                (
                    select string_agg(o.item::text, e'\n')
                    from jsonb_array_elements(c.sample) with ordinality as o (item, nth)
                    where o.nth <= 20
                ),
                ''
            )
    end as result
from pg_temp.checked as c
order by c.offending > 0, c.severity desc, c.claim;

do $$
declare
    failed text;
begin
    select string_agg(c.claim, ', ' order by c.claim) into failed
    from pg_temp.checked as c
    where c.offending > 0 and c.severity <> 'warn';

    if failed is not null then
        raise exception 'the cache does not hold what it claims: %', failed
            using hint = format(
                'See above. To recalculate up to 100 entities that are listed: call entity_stats.repair(%s);',
                (select c.run from pg_temp.checked as c limit 1)
            );
    end if;
end
$$;
