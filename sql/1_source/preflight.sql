-- Refuses to deploy where the cache could not be exact, before anything is created. Two deployments follow one another.
do $$
declare
    nodes oid [];
    missing text;
    mistyped text;
    uncapturable text;
    foreign_objects text;
begin
    perform pg_advisory_xact_lock(hashtext('entity_stats.deploy'));

    if to_regclass('public.killmails') is null then
        raise exception 'table public.killmails does not exist in database %', current_database()
            using errcode = 'undefined_table',
                hint = 'Deploy into the killboard''s database, or run sql/sample/killmails.sql for a development table.';
    end if;

    select
        string_agg(format('%I (%s)', needed.name, needed.types[1]), ', ' order by needed.name) filter (where a.attname is null),
        string_agg(
            format('%I is %s, not %s', needed.name, format_type(a.atttypid, a.atttypmod), array_to_string(needed.types, ' or ')),
            ', ' order by needed.name
        ) filter (where a.atttypid <> all(needed.types))
    into missing, mistyped
    from (
        values
            ('killmailId', '{bigint,integer}'::regtype []),
            ('killmailTime', '{timestamptz}'),
            ('topAttackerCharacterId', '{bigint,integer}'),
            ('topAttackerCorporationId', '{bigint,integer}'),
            ('topAttackerAllianceId', '{bigint,integer}'),
            ('victimCharacterId', '{bigint,integer}'),
            ('victimCorporationId', '{bigint,integer}'),
            ('victimAllianceId', '{bigint,integer}'),
            ('totalValue', '{real,double precision,numeric}'),
            ('solo', '{boolean}'),
            ('npc', '{boolean}')
    ) as needed (name, types)
    left join pg_catalog.pg_attribute as a
        on needed.name = a.attname and a.attrelid = 'public.killmails'::regclass and a.attnum > 0 and not a.attisdropped;

    if missing is not null then
        raise exception 'table public.killmails lacks columns that the cache needs: %', missing
            using errcode = 'undefined_column',
                hint = 'Add these columns with these types (names are case-sensitive), then deploy again.';
    elsif mistyped is not null then
        raise exception 'table public.killmails has columns of types that the cache cannot read: %', mistyped
            using errcode = 'datatype_mismatch',
                hint = 'Change the type with ALTER TABLE public.killmails ALTER COLUMN ... TYPE ..., then deploy again.';
    end if;

    -- Of killmails nothing is locked here: nodes() does not exist yet.
    with recursive tree as (
        select 'public.killmails'::regclass::oid as node
        union all
        select i.inhrelid as node
        from tree as t
        inner join pg_catalog.pg_inherits as i on t.node = i.inhparent
    )

    select array_agg(t.node)
    into nodes
    from tree as t;

    select string_agg(format('%s is a %s', c.oid::regclass, k.kind), ', ' order by c.relname)
    into uncapturable
    from pg_catalog.pg_class as c
    inner join
        (values ('v', 'view'), ('m', 'materialized view'), ('f', 'foreign table')) as k (relkind, kind)
        on c.relkind::text = k.relkind
    where c.oid = any(nodes);

    if uncapturable is not null then
        raise exception 'changes of killmails could not be captured: %', uncapturable
            using errcode = 'wrong_object_type',
                hint = 'Statement triggers with transition tables need tables, plain or partitioned, in this database.';
    elsif exists (
        select
        from pg_catalog.pg_inherits as i
        inner join pg_catalog.pg_class as c on i.inhparent = c.oid
        where i.inhparent = 'public.killmails'::regclass and c.relkind = 'r'
    ) then
        raise exception 'tables inherit from public.killmails, and changes of them could not be captured'
            using errcode = 'wrong_object_type',
                hint = 'Make them partitions (PARTITION BY RANGE, ATTACH PARTITION), then deploy again.';
    elsif (select c.relrowsecurity from pg_catalog.pg_class as c where c.oid = 'public.killmails'::regclass) then
        raise exception 'row-level security of public.killmails would hide killmails from the cache'
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'ALTER TABLE public.killmails DISABLE ROW LEVEL SECURITY, or give readers a view with the restriction.';
    elsif exists (
        select
        from pg_catalog.pg_subscription_rel as s
        where s.srrelid = any(nodes)
    ) then
        raise exception 'table public.killmails is filled by logical replication, which fires no statement triggers'
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'Deploy the cache on the publisher, and replicate public.entity_stats_cache if it is needed here.';
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
                    'get_entity_stats_for_window',
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
end
$$;
