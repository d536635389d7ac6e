-- Removes exactly what deploy.sql created; killmails keeps every row. Triggers go first, node by node, each in a transaction
-- of its own, because each waits for that node's writers; safe to run again when it was interrupted.
--   psql -v ON_ERROR_STOP=1 -f sql/uninstall.sql
do $$
declare
    deadline constant timestamptz := clock_timestamp() + interval '10 minutes';
    guard record;
    dropped boolean;
begin
    if to_regclass('entity_stats.state') is null then
        raise notice 'The entity stats cache is not deployed in database %', current_database();
    end if;

    for guard in
        select t.tgname, t.tgrelid::regclass as node
        from pg_catalog.pg_trigger as t
        inner join pg_catalog.pg_proc as p on t.tgfoid = p.oid
        where
            t.tgname like 'trigger\_update\_entity\_stats\_on\_%'
            and not t.tgisinternal
            and (p.pronamespace = to_regnamespace('entity_stats') or p.oid = to_regprocedure('public.update_entity_stats_on_insert()'))
    loop
        loop
            begin
                set local lock_timeout = '200ms';
                execute format('drop trigger if exists %I on %s', guard.tgname, guard.node);
                if exists (select from pg_catalog.pg_roles as r where r.rolname = 'entity_stats_operator') then
                    execute format('revoke select on table %s from entity_stats_operator', guard.node);
                end if;
                dropped := true;
            exception
                when lock_not_available then
                    dropped := false;
            end;
            commit;
            exit when dropped;

            if clock_timestamp() > deadline then
                raise exception 'writers of % left no moment to drop its triggers within 10 minutes', guard.node
                    using errcode = 'lock_not_available', hint = 'Find the long transaction in pg_stat_activity, then run this again.';
            end if;
            perform pg_sleep(0.2 + random() * 0.6);
        end loop;
    end loop;
end
$$;

begin;
set local client_min_messages = warning;

-- Everything by name and without CASCADE: an object of the site that hangs on one of ours stops the uninstall and is named.
-- What depends on something was mostly created after it; a few passes settle the rest.
do $$
declare
    drops text [];
    left_over text [];
    command text;
    obstacle text;
begin
    if to_regprocedure('entity_stats.deployed_functions()') is null then
        return;
    end if;

    select array_agg(d.command order by d.oid desc)
    into drops
    from (
        select
            p.oid,
            format('drop %s %s', case p.prokind when 'p' then 'procedure' else 'function' end, p.oid::regprocedure) as command
        from pg_catalog.pg_proc as p
        where p.oid in (select o.object from entity_stats.deployed_functions() as o (object))
        union all
        select
            c.oid,
            format('drop %s %s', case c.relkind when 'v' then 'view' when 'c' then 'type' else 'table' end, c.oid::regclass) as command
        from pg_catalog.pg_class as c
        where
            c.relkind in ('r', 'v', 'c')
            and (
                c.relnamespace = 'entity_stats'::regnamespace
                or (
                    c.relnamespace = 'public'::regnamespace
                    and c.relname in ('entity_stats_cache', 'character_stats', 'corporation_stats', 'alliance_stats')
                )
            )
    ) as d;

    loop
        left_over := '{}';
        foreach command in array drops loop
            begin
                execute command;
            exception
                when dependent_objects_still_exist then
                    left_over := left_over || command;
                    get stacked diagnostics obstacle = pg_exception_detail;
            end;
        end loop;

        exit when cardinality(left_over) = 0;
        if left_over = drops then
            raise exception 'objects that do not belong to the cache hang on it'
                using errcode = 'dependent_objects_still_exist', detail = obstacle,
                    hint = 'Drop them first, then run uninstall.sql again.';
        end if;
        drops := left_over;
    end loop;
end
$$;

drop schema if exists entity_stats;

do $$
declare
    role_name text;
    columns_granted text;
begin
    foreach role_name in array array['entity_stats_reader', 'entity_stats_operator'] loop
        continue when not exists (
            select
            from pg_catalog.pg_roles as r
            where r.rolname = role_name and shobj_description(r.oid, 'pg_authid') = 'Created by the entity stats cache.'
        );

        execute format('revoke create on schema public from %I', role_name);
        if to_regclass('public.killmails') is not null then
            select string_agg(quote_ident(a.attname), ', ')
            into columns_granted
            from pg_catalog.pg_attribute as a
            where a.attrelid = 'public.killmails'::regclass and a.attacl::text like '%' || role_name || '=%';

            if columns_granted is not null then
                execute format('revoke select (%s) on table public.killmails from %I', columns_granted, role_name);
            end if;
            execute format('revoke select on table public.killmails from %I', role_name);
        end if;

        begin
            execute format('drop role %I', role_name);
        exception
            when dependent_objects_still_exist or insufficient_privilege then
                raise notice 'Role % stays: %', role_name, sqlerrm;
        end;
    end loop;
end
$$;

commit;
