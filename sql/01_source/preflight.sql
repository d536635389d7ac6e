-- Refuses to deploy where there is no killboard, or somebody else's cache, before anything is created; source_changes.sql refuses
-- killmails that the cache could not read. Two deployments follow one another.
do $$
declare
    operators constant oid := to_regrole('entity_stats_operator'); -- what they own is ours, also when the schema was dropped
    foreign_objects text;
begin
    perform pg_advisory_xact_lock(hashtext('entity_stats.deploy'));

    if to_regclass('public.killmails') is null then
        raise exception 'table public.killmails does not exist in database %', current_database()
            using errcode = 'undefined_table',
                hint = 'Deploy into the killboard''s database, or run local/sample/install.sql for a development table.';
    end if;

    if to_regclass('entity_stats.state') is null then
        select string_agg(found.name, ', ' order by found.name)
        into foreign_objects
        from (
            select 'schema entity_stats' as name
            where to_regnamespace('entity_stats') is not null
            union all
            select 'relation public.' || c.relname
            from pg_catalog.pg_class as c
            where
                c.relnamespace = 'public'::regnamespace
                and c.relname in (
                    'entity_stats_cache', 'entity_stats_invalidation',
                    'character_stats', 'corporation_stats', 'alliance_stats', 'entity_months', 'entity_days'
                )
                and c.relowner is distinct from operators
            union all
            select 'function ' || p.oid::regprocedure
            from pg_catalog.pg_proc as p
            where
                p.pronamespace = 'public'::regnamespace
                and p.proname in (
                    'update_entity_stats_on_insert',
                    'get_entity_stats',
                    'get_entity_stats_from_cache',
                    'get_entity_stats_from_view',
                    'get_entity_stats_for_window',
                    'get_entity_history',
                    'get_multiple_entity_history',
                    'get_entity_history_from_view',
                    'get_entity_first_times',
                    'explain_entity_stats',
                    'get_counted_killmails',
                    'get_character_stats_from_cache',
                    'get_corporation_stats_from_cache',
                    'get_alliance_stats_from_cache',
                    'get_multiple_entity_stats_from_cache',
                    'get_top_entities_from_cache',
                    'get_top_entities_by_kills_from_cache',
                    'get_top_entities_by_efficiency_from_cache',
                    'get_entity_rank',
                    'is_stats_cache_populated',
                    'get_stats_cache_summary'
                )
                and p.proowner is distinct from operators
            union all
            select format('trigger %I on %s', t.tgname, t.tgrelid::regclass)
            from pg_catalog.pg_trigger as t
            inner join pg_catalog.pg_proc as p on t.tgfoid = p.oid
            where
                t.tgname like 'trigger\_update\_entity\_stats\_on\_%'
                and not t.tgisinternal
                and p.proowner is distinct from operators
        ) as found;
    elsif to_regclass('entity_stats.history') is null then
        -- An upgrade: names that the version before did not have.
        select string_agg('relation public.' || c.relname, ', ' order by c.relname)
        into foreign_objects
        from pg_catalog.pg_class as c
        where
            c.relnamespace = 'public'::regnamespace
            and c.relname in ('entity_months', 'entity_days')
            and c.relowner is distinct from operators;
    end if;

    if foreign_objects is not null then
        raise exception 'objects with the cache''s names exist that this project did not create: %', foreign_objects
            using errcode = 'duplicate_object',
                hint = 'They look like an earlier cache. Rename or drop them (docs/install.md shows how), then deploy again.';
    end if;
end
$$;
