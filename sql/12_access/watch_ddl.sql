-- Event triggers, where the deploying role may create them: partitions are guarded and captured within the site's own DDL. Without
-- them the next look_at_source() finds what has changed.
-- The function stays its creator's, who may be a superuser, so that operators get no rights of his: itself it does what needs rights
-- on the site's tables, and uses of ours only what runs with the operators' rights (SECURITY DEFINER). A deployment by somebody
-- lesser leaves it as it is. Created last: it would follow the ALTER TABLEs of this deployment, too, with rights that are not complete.
do $do$
declare
    event_trigger record;
begin
    execute $create$
        create or replace function entity_stats.watch_ddl()
        returns event_trigger
        language plpgsql security definer
        set search_path = pg_catalog, pg_temp
        set lock_timeout = '1s'
        as $$
        declare
            dropped jsonb := jsonb_build_object();
            fresh oid [];
            command text;
        begin
            if tg_event = 'ddl_command_start' then
                -- Our schema or its owner goes, and with it the triggers: PostgreSQL would lock partition after partition, holding those before
                -- from whoever writes to the next.
                if strpos(lower(current_query()), 'entity_stats') > 0 then
                    perform entity_stats.lock_with_retries(
                        'drop',
                        variadic array(
                            select c.oid::regclass::text
                            from pg_class as c
                            where
                                c.relkind in ('r', 'p', 'v', 'S')
                                and (
                                    c.oid in (select g.tgrelid from pg_trigger as g where g.tgname ~ '^trigger_update_entity_stats_on_')
                                    or c.oid in (select r.object from entity_stats.deployed_relations() as r (object))
                                    or (c.relkind = 'S' and c.relnamespace = 'entity_stats'::regnamespace) -- held where a savepoint was rolled back to
                                )
                        )
                    );
                end if;
                return;
            elsif tg_event = 'sql_drop' then
                select jsonb_object_agg(d.objid, d.object_identity) into dropped
                from pg_event_trigger_dropped_objects() as d
                where d.object_type = 'table' and not d.is_temporary;
                if dropped is null then
                    return;
                end if;
            elsif
                tg_tag = 'CREATE TABLE'
                and not exists (
                    select
                    from pg_event_trigger_ddl_commands() as c
                    where c.objid = to_regclass('public.killmails') or exists (select from pg_inherits as i where c.objid = i.inhrelid)
                )
            then
                return;
            end if;

            -- Nodes without triggers that this transaction holds exclusively anyway: nobody waits for us who does not already.
            fresh := array(
                with recursive tree as (
                    select to_regclass('public.killmails')::oid as node
                    union all
                    select i.inhrelid as node
                    from tree as t
                    inner join pg_inherits as i on t.node = i.inhparent
                )

                select t.node
                from tree as t
                inner join pg_locks as l
                    on t.node = l.relation and l.pid = pg_backend_pid() and l.mode = 'AccessExclusiveLock' and l.granted
                where not exists (select from pg_trigger as g where g.tgrelid = t.node and g.tgname ~ '^trigger_update_entity_stats_on_')
            );
            -- CREATE TRIGGER for all of them before the first ALTER TABLE, which comes back here.
            for command in
                select c.command
                from (
                    -- The operators read what they capture, and what is called killmails now: the views that readers fall back to.
                    select 1 as step, format('grant select on table %s to %s', n.oid::regclass, o.nspowner::regrole) as command
                    from pg_class as n
                    cross join pg_namespace as o
                    where
                        o.nspname = 'entity_stats'
                        and (n.oid = any(fresh) or n.oid = to_regclass('public.killmails'))
                        and not has_table_privilege(o.nspowner, n.oid, 'select')
                    union all
                    select 2, replace(pg_get_triggerdef(g.oid), ' ON public.killmails ', format(' ON %s ', f.node::regclass))
                    from unnest(fresh) as f (node)
                    cross join pg_trigger as g
                    where g.tgrelid = to_regclass('public.killmails') and g.tgname ~ '^trigger_update_entity_stats_on_'
                    union all
                    select 3, format('alter table only %s enable always trigger %I', f.node::regclass, g.tgname)
                    from unnest(fresh) as f (node)
                    cross join pg_trigger as g
                    where g.tgrelid = to_regclass('public.killmails') and g.tgname ~ '^trigger_update_entity_stats_on_'
                    union all
                    select
                        l.step,
                        format(
                            case l.step
                                when 2 then
                                    'create trigger trigger_update_entity_stats_on_merge before insert on %s '
                                    'for each row when (false) execute function entity_stats.keep_row()'
                                else 'alter table only %s enable always trigger trigger_update_entity_stats_on_merge'
                            end, c.oid::regclass
                        )
                    from (values (2), (3)) as l (step)
                    cross join pg_class as c
                    where c.oid = any(fresh) and c.relispartition and c.relkind = 'r'
                ) as c
                order by c.step
            loop
                execute command;
            end loop;

            perform entity_stats.follow_ddl(dropped);
        exception
            when others then
                raise warning 'the entity stats cache could not follow %: %', tg_tag, sqlerrm
                    using hint = 'entity_stats_fold_pending looks at it within five minutes; at once: call entity_stats.look_at_source(). What can be counted is; else the cache says that it is stale.';
        end
        $$
    $create$;
    comment on function entity_stats.watch_ddl() is
    'Event trigger: guards partitions that the site creates or attaches, captures those that come or go with killmails, locks all at once before our schema is dropped; never fails.';
    revoke execute on function entity_stats.watch_ddl() from public;
    grant execute on function entity_stats.watch_ddl() to entity_stats_operator; -- or their REVOKE for all functions would fail

    for event_trigger in
        select
            t.name,
            t.fires
        from (
            values
            ('entity_stats_ddl', 'ddl_command_end when tag in (''CREATE TABLE'', ''ALTER TABLE'')'),
            ('entity_stats_drop', 'sql_drop'),
            ('entity_stats_drop_schema', 'ddl_command_start when tag in (''DROP SCHEMA'', ''DROP OWNED'')')
        ) as t (name, fires)
        where not exists (select from pg_catalog.pg_event_trigger as e where t.name = e.evtname)
    loop
        execute format('create event trigger %I on %s execute function entity_stats.watch_ddl()', event_trigger.name, event_trigger.fires);
        execute format('alter event trigger %I enable always', event_trigger.name);
    end loop;
exception
    when insufficient_privilege then
        raise notice 'There are no event triggers: new and dropped partitions are noticed by entity_stats.look_at_source(), within five minutes';
end
$do$;
