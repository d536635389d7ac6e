-- Removes exactly what deploy.sql created; killmails keeps every row. Triggers go first, node by node, each in a transaction
-- of its own, because each waits for that node's writers; safe to run again when it was interrupted.
--   psql -v ON_ERROR_STOP=1 -f sql/uninstall.sql
do $$
declare
    deadline constant timestamptz := clock_timestamp() + interval '10 minutes';
    guard record;
    node text;
    dropped boolean;
begin
    if to_regclass('entity_stats.state') is null then
        raise notice 'The entity stats cache is not deployed in database %', current_database();
        return; -- what bears our names here is the site's
    elsif to_regprocedure('entity_stats.deployed_relations()') is null then
        raise exception 'an earlier version of the cache is deployed'
            using errcode = 'object_not_in_prerequisite_state', hint = 'Run psql -v ON_ERROR_STOP=1 -f sql/deploy.sql of this version, then uninstall.sql again.';
    end if;

    for guard in
        select
            t.oid,
            t.tgname
        from pg_catalog.pg_trigger as t
        inner join pg_catalog.pg_proc as p on t.tgfoid = p.oid
        where
            t.tgname like 'trigger\_update\_entity\_stats\_on\_%'
            and not t.tgisinternal
            and (p.pronamespace = to_regnamespace('entity_stats') or p.oid = to_regprocedure('public.update_entity_stats_on_insert()'))
    loop
        loop
            node := (
                select format('%s.%I', c.relnamespace::regnamespace, c.relname)
                from pg_catalog.pg_trigger as t
                inner join pg_catalog.pg_class as c on t.tgrelid = c.oid
                where t.oid = guard.oid
            );
            exit when node is null; -- with its partition, meanwhile

            begin
                set local lock_timeout = '200ms';
                execute format('drop trigger %I on %s', guard.tgname, node);
                if exists (select from pg_catalog.pg_roles as r where r.rolname = 'entity_stats_operator') then
                    execute format('revoke select on table %s from entity_stats_operator', node);
                end if;
                dropped := true;
            exception
                when lock_not_available or undefined_object or undefined_table then
                    dropped := false;
            end;
            commit;
            exit when dropped;

            if clock_timestamp() > deadline then
                raise exception '% was in use for 10 minutes: its triggers could not be dropped', node
                    using errcode = 'lock_not_available', hint = 'Find the long transaction (select pid, query from pg_stat_activity order by xact_start), then run this again.';
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
-- Whoever has captured holds the ledger until its COMMIT, where it needs the gate and the cache: waits are short, and all locks
-- are given back before the next try.
do $$
declare
    deadline constant timestamptz := clock_timestamp() + interval '10 minutes';
    drops text [];
    todo text [];
    left_over text [];
    command text;
    obstacle text;
begin
    perform pg_advisory_xact_lock(hashtext('entity_stats.deploy'));

    if to_regprocedure('entity_stats.deployed_relations()') is null then
        return;
    end if;

    execute 'drop event trigger if exists entity_stats_ddl';
    execute 'drop event trigger if exists entity_stats_drop';
    execute 'drop event trigger if exists entity_stats_drop_schema';
    drop function if exists entity_stats.watch_ddl();

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
        where c.oid in (select o.object from entity_stats.deployed_relations() as o (object))
    ) as d;

    loop
        begin
            set local lock_timeout = '200ms';
            lock table entity_stats.ledger, entity_stats.gate, public.entity_stats_cache in access exclusive mode;
            todo := drops;

            while cardinality(todo) > 0 loop
                left_over := '{}';
                foreach command in array todo loop
                    begin
                        execute command;
                    exception
                        when dependent_objects_still_exist then
                            left_over := left_over || command;
                            get stacked diagnostics obstacle = pg_exception_detail;
                    end;
                end loop;

                if left_over = todo then
                    raise exception 'objects that do not belong to the cache depend on it'
                        using errcode = 'dependent_objects_still_exist', detail = obstacle,
                            hint = 'Drop them first, then run it again: psql -v ON_ERROR_STOP=1 -f sql/uninstall.sql';
                end if;
                todo := left_over;
            end loop;

            exit;
        exception
            when lock_not_available then
                if clock_timestamp() > deadline then
                    raise exception 'the tables of the cache were in use for 10 minutes'
                        using errcode = 'lock_not_available', hint = 'Find the long transaction (select pid, query from pg_stat_activity order by xact_start), then run this again.';
                end if;
        end;
        perform pg_sleep(0.2 + random() * 0.6);
    end loop;
end
$$;

drop schema if exists entity_stats;

-- Roles that an administrator made stay, without the rights that deployment gave them.
do $$
declare
    role_name text;
    members text;
begin
    for role_name, members in
        select
            r.rolname,
            coalesce(
                (
                    select string_agg(m.member::regrole::text, ', ' order by m.member::regrole::text)
                    from pg_catalog.pg_auth_members as m
                    where r.oid = m.roleid
                ),
                'nobody'
            )
        from pg_catalog.pg_roles as r
        where r.rolname in ('entity_stats_reader', 'entity_stats_operator')
        order by 1
    loop
        if to_regclass('public.killmails') is not null then
            execute format('revoke select on table public.killmails from %I', role_name);
        end if;

        if shobj_description(role_name::regrole, 'pg_authid') is distinct from 'Created by the entity stats cache.' then
            raise info 'Role % stays, because an administrator made it. Its members: %. To drop it: drop role %;', role_name, members, role_name;
            continue;
        end if;

        execute format('revoke create on schema public from %I', role_name);
        begin
            if has_parameter_privilege(role_name, 'temp_file_limit', 'set') then
                execute format('revoke set on parameter temp_file_limit from %I', role_name);
            end if;
            execute format('drop role %I', role_name);
            raise info 'Role % is dropped. Its members were: %.', role_name, members;
        exception
            when dependent_objects_still_exist or insufficient_privilege then
                raise info 'Role % stays: %. Its members: %. To drop it, when nothing hangs on it: drop role %;', role_name, sqlerrm, members, role_name;
        end;
    end loop;
end
$$;

commit;
