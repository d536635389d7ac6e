-- Every function and procedure of the cache: all of schema entity_stats, and in schema public those that are named like the
-- API and belong to it. Access and uninstall go by this list.
create or replace function entity_stats.deployed_functions()
returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select p.oid
    from pg_proc as p
    where
        p.pronamespace = 'entity_stats'::regnamespace
        or (
            p.pronamespace = 'public'::regnamespace
            and (
                p.prorettype = 'entity_stats.stats'::regtype
                or p.proname in ('update_entity_stats_on_insert', 'is_stats_cache_populated', 'get_stats_cache_summary')
            )
        );
end;

comment on function entity_stats.deployed_functions() is 'Functions and procedures that deploy.sql created.';
