-- Every table, view and composite type of the cache: all of schema entity_stats, and those in schema public. Ownership, uninstall and
-- publications go by this list.
create or replace function entity_stats.deployed_relations()
returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select c.oid
    from pg_class as c
    where
        c.relkind in ('r', 'p', 'v', 'c')
        and (
            c.relnamespace = 'entity_stats'::regnamespace
            or (
                c.relnamespace = 'public'::regnamespace
                and c.relname in (
                    'entity_stats_cache', 'entity_stats_invalidation',
                    'character_stats', 'corporation_stats', 'alliance_stats', 'entity_months', 'entity_days'
                )
            )
        );
end;

comment on function entity_stats.deployed_relations() is 'Tables, views and composite types that deploy.sql created.';
