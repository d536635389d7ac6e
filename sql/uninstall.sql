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

drop view if exists public.character_stats, public.corporation_stats, public.alliance_stats;

do $$
declare
    deployed regprocedure;
begin
    if to_regprocedure('entity_stats.deployed_functions()') is not null then
        for deployed in
            select p.oid
            from pg_catalog.pg_proc as p
            where
                p.pronamespace = 'public'::regnamespace
                and p.oid in (select o.object from entity_stats.deployed_functions() as o (object))
            -- A function whose body calls another one depends on it: the youngest go first.
            order by p.oid desc
        loop
            execute format('drop function %s', deployed);
        end loop;
    end if;
end
$$;

drop table if exists public.entity_stats_cache cascade; -- only functions of schema entity_stats hang on it, which goes next
drop schema if exists entity_stats cascade;

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
