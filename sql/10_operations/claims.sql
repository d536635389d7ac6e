-- The claims of 11_checks/: views whose comment begins with their severity. The one place that reads these comments.
create or replace function entity_stats.claims()
returns table (claim text, severity text, meaning text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select
        c.relname::text as claim,
        m.part[1] as severity,
        m.part[2] as meaning
    from pg_class as c
    cross join lateral regexp_match(obj_description(c.oid, 'pg_class'), '^(fail|warn|full): (.*)$') as m (part)
    where c.relnamespace = 'entity_stats'::regnamespace and c.relkind = 'v' and m.part is not null
    order by m.part[1], c.relname;
end;

comment on function entity_stats.claims() is
'What is claimed about the cache: each claim is a view in schema entity_stats that shows the rows which break it. Severity fail and warn: checked every night, fail and full: an error; meaning: what is claimed, what to do when it does not hold.';
