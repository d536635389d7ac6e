-- Puts the capture triggers on every node of killmails: a parent's trigger does not see loads straight into a partition.
-- CREATE TRIGGER queues every writer behind itself while it waits, so: one node per transaction, short waits, many tries,
-- and no lock at all where nothing is missing.
create or replace function entity_stats.unguarded()
returns table (node regclass, missing text[])
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select
        n.node,
        array_agg(needed.name order by needed.name) as missing
    from entity_stats.nodes() as n (node)
    inner join pg_class as c on n.node = c.oid
    cross join (
        -- type: PostgreSQL's bits, 1 each row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate.
        values
            ('trigger_update_entity_stats_on_insert', 4, null, 'arrived', 'public.update_entity_stats_on_insert()'::regprocedure),
            ('trigger_update_entity_stats_on_update', 16, 'gone', 'arrived', 'entity_stats.capture_update()'::regprocedure),
            ('trigger_update_entity_stats_on_delete', 8, 'gone', null, 'entity_stats.capture_delete()'::regprocedure),
            ('trigger_update_entity_stats_on_truncate', 34, null, null, 'entity_stats.capture_truncate()'::regprocedure),
            ('trigger_update_entity_stats_on_temp_file_limit', 30, null, null, 'entity_stats.lift_temp_file_limit()'::regprocedure),
            ('trigger_update_entity_stats_on_merge', 7, null, null, 'entity_stats.keep_row()'::regprocedure)
    ) as needed (name, type, gone, arrived, handler)
    where
        (needed.name <> 'trigger_update_entity_stats_on_merge' or (c.relispartition and c.relkind = 'r'))
        and not exists (
            select 1
            from pg_trigger as t
            where
                t.tgrelid = n.node
                and t.tgname = needed.name
                and t.tgtype = needed.type
                and t.tgoldtable is not distinct from needed.gone
                and t.tgnewtable is not distinct from needed.arrived
                and (t.tgqual is null) = (needed.type not in (7, 30))
                and t.tgattr = ''
                and t.tgfoid = needed.handler
                and t.tgenabled = 'A'
        )
    group by n.node;
end;

comment on function entity_stats.unguarded() is 'Nodes of killmails whose capture triggers are missing, disabled or not as this version makes them.';

create or replace function entity_stats.guard_node(node regclass)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    events text [] := array['insert', 'update', 'delete', 'truncate', 'temp_file_limit'];
    event text;
    name text;
begin
    name := entity_stats.name_of(node);
    execute format(
        'create or replace trigger trigger_update_entity_stats_on_insert after insert on %1$s '
        'referencing new table as arrived for each statement execute function public.update_entity_stats_on_insert()', name
    );
    execute format(
        'create or replace trigger trigger_update_entity_stats_on_update after update on %1$s '
        'referencing old table as gone new table as arrived for each statement execute function entity_stats.capture_update()', name
    );
    execute format(
        'create or replace trigger trigger_update_entity_stats_on_delete after delete on %1$s '
        'referencing old table as gone for each statement execute function entity_stats.capture_delete()', name
    );
    execute format(
        'create or replace trigger trigger_update_entity_stats_on_truncate before truncate on %1$s '
        'for each statement execute function entity_stats.capture_truncate()', name
    );
    execute format(
        'create or replace trigger trigger_update_entity_stats_on_temp_file_limit before insert or update or delete on %1$s '
        'for each statement when (current_setting(''temp_file_limit'') <> ''-1'') execute function entity_stats.lift_temp_file_limit()', name
    );
    if (select c.relispartition and c.relkind = 'r' from pg_class as c where c.oid = node) then
        execute format(
            'create or replace trigger trigger_update_entity_stats_on_merge before insert on %1$s '
            'for each row when (false) execute function entity_stats.keep_row()', name
        );
        events := events || 'merge'::text;
    end if;
    -- Always: killmails that come in a session with session_replication_role = replica are killmails, too. Only: each node has
    -- its own triggers.
    foreach event in array events loop
        execute format('alter table only %s enable always trigger trigger_update_entity_stats_on_%s', name, event);
    end loop;
    -- The operators' functions read the node itself when it is truncated.
    execute format(
        'grant select on table %s to %s', name, (select n.nspowner::regrole from pg_namespace as n where n.nspname = 'entity_stats')
    );
    return true;
exception
    when lock_not_available then
        return false;
    when undefined_table then
        return true; -- dropped by now
end
$$;

comment on function entity_stats.guard_node(
    regclass
) is 'Creates the capture triggers of one node; false when its writers did not let go within 200 ms, true when it is gone.';

create or replace procedure entity_stats.guard_killmails(patience interval default '10 minutes')
language plpgsql
as $$
declare
    deadline constant timestamptz := pg_catalog.clock_timestamp() operator(pg_catalog.+) patience;
    target regclass;
    guarded boolean;
    tries integer;
    guarded_now integer := 0;
begin
    call entity_stats.require_autocommit('guard_killmails');
    -- What slipped by while triggers were missing is not in the cache when they are there again.
    perform entity_stats.note_source(adopt => false);
    commit;

    for target in select u.node from entity_stats.unguarded() as u loop
        tries := 0;
        loop
            guarded := entity_stats.guard_node(target);
            commit;
            exit when guarded;

            tries := tries + 1;
            if pg_catalog.clock_timestamp() > deadline then
                raise exception '% was in use for %: its triggers could not be created', target, patience
                    using errcode = 'lock_not_available',
                        hint = 'Find the long transaction (select pid, query from pg_stat_activity order by xact_start), wait for it to end, then deploy again.';
            end if;
            if tries % 25 = 0 then
                raise notice '  waiting for the writers of % (% tries)', target, tries;
            end if;
            perform pg_catalog.pg_sleep(0.2 + pg_catalog.random() * 0.6);
        end loop;
        guarded_now := guarded_now + 1;
    end loop;
    if guarded_now > 0 then
        raise notice 'Guarded %', case guarded_now when 1 then target::text else guarded_now || ' tables' end;
    end if;
end
$$;

comment on procedure entity_stats.guard_killmails (interval) is
'Creates missing capture triggers on every node of killmails, each in its own transaction; nothing to do takes no lock. patience: how long to try in all.';
