-- Refuses to deploy where the cache could not be exact, before anything is created.
do $$
declare
    missing text;
    foreign_objects text;
begin
    if to_regclass('public.killmails') is null then
        raise exception 'table public.killmails does not exist in database %', current_database()
            using errcode = 'undefined_table',
                hint = 'Deploy into the killboard''s database, or run sql/sample/killmails.sql for a development table.';
    end if;

    select string_agg(format('%I (%s)', needed.name, needed.type), ', ' order by needed.name)
    into missing
    from (
        values
            ('killmailId', 'bigint'),
            ('killmailTime', 'timestamp with time zone'),
            ('topAttackerCharacterId', 'bigint'),
            ('topAttackerCorporationId', 'bigint'),
            ('topAttackerAllianceId', 'bigint'),
            ('victimCharacterId', 'bigint'),
            ('victimCorporationId', 'bigint'),
            ('victimAllianceId', 'bigint'),
            ('totalValue', 'real, double precision or numeric'),
            ('solo', 'boolean'),
            ('npc', 'boolean')
    ) as needed (name, type)
    where not exists (
        select
        from pg_catalog.pg_attribute as a
        where
            a.attrelid = 'public.killmails'::regclass
            and a.attname = needed.name
            and a.attnum > 0
            and not a.attisdropped
            and (
                format_type(a.atttypid, null) = needed.type
                or (needed.type = 'bigint' and a.atttypid = 'integer'::regtype)
                or (
                    needed.name = 'totalValue'
                    and a.atttypid in ('real'::regtype, 'double precision'::regtype, 'numeric'::regtype)
                )
            )
    );

    if missing is not null then
        raise exception 'table public.killmails lacks what the cache needs: %', missing
            using errcode = 'undefined_column',
                hint = 'Add these columns with these types (names are case-sensitive), then deploy again.';
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
                and c.relname in ('entity_stats_cache', 'character_stats', 'corporation_stats', 'alliance_stats')
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
                    'get_character_stats_from_cache',
                    'get_corporation_stats_from_cache',
                    'get_alliance_stats_from_cache',
                    'get_multiple_entity_stats_from_cache',
                    'get_top_entities_by_kills_from_cache',
                    'get_top_entities_by_efficiency_from_cache',
                    'is_stats_cache_populated',
                    'get_stats_cache_summary'
                )
            union all
            select format('trigger %I on %s', t.tgname, t.tgrelid::regclass)
            from pg_catalog.pg_trigger as t
            where
                t.tgname like 'trigger\_update\_entity\_stats\_on\_%'
                and not t.tgisinternal
        ) as found;
    end if;

    if foreign_objects is not null then
        raise exception 'objects of the cache''s names exist that this project did not create: %', foreign_objects
            using errcode = 'duplicate_object',
                hint = 'They look like an earlier cache. Rename or drop them (docs/install.md shows how), then deploy again.';
    end if;

    if exists (
        select
        from pg_catalog.pg_subscription_rel as s
        where s.srrelid in (select tree.relid from pg_catalog.pg_partition_tree('public.killmails') as tree)
            or s.srrelid = 'public.killmails'::regclass
    ) then
        raise exception 'table public.killmails is filled by logical replication, which fires no statement triggers'
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'Deploy the cache on the publisher, and replicate public.entity_stats_cache if it is needed here.';
    end if;
end
$$;
