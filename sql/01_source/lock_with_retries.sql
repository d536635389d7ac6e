-- Locks tables, all or none of them, without getting into anybody's way: a queued lock holds up everybody behind it, and one that
-- waits while holding others can deadlock with a site's own maintenance. So it waits briefly, lets go of all, and tries again. Where
-- everybody is slow, brief is too short for all of them to be done: each try waits twice as long, but never as long as deadlock_timeout.
-- That is for all locks of a try together, so partitions are locked one by one: LOCK TABLE would wait as long for each. Not for access
-- share: only DDL keeps it out, so it need not wait in the queue at all, and LOCK TABLE asks no rights on partitions.
-- Who holds one of the targets and waits for another, which we hold, makes a try fail. So every other try takes them the other way
-- round: folds want one order, and readers have theirs. Names, because what bears one may be replaced while somebody waits for it.
create or replace function entity_stats.lock_with_retries(mode text, variadic targets text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    deadline constant timestamptz := clock_timestamp() + interval '10 minutes';
    longest constant numeric := least(0.8 * extract(epoch from current_setting('deadlock_timeout')::interval), 0.8); -- seconds
    patience numeric := least(0.05, longest);
    began timestamptz;
    target text;
    node record;
    locked oid [];
begin
    loop
        begin
            began := clock_timestamp();
            locked := '{}';
            foreach target in array targets loop
                if mode = 'access share' then
                    execute format('lock table %s in access share mode nowait', target);
                    continue;
                end if;

                loop -- again, until there is no other: partitions may come while one waits for their table
                    for node in
                        with recursive tree as (
                            select target::regclass::oid as relation -- raises where there is none
                            union all
                            select i.inhrelid
                            from tree as t
                            inner join pg_inherits as i on t.relation = i.inhparent
                        )

                        select
                            c.oid,
                            n.nspname,
                            c.relname,
                            c.relkind
                        from tree as t
                        inner join pg_class as c on t.relation = c.oid
                        inner join pg_namespace as n on c.relnamespace = n.oid
                        where c.relkind in ('r', 'p', 'v', 'S') and c.oid <> all (locked)
                    loop
                        perform set_config(
                            'lock_timeout', greatest(1, 1000 * (patience - extract(epoch from clock_timestamp() - began)))::integer::text, true
                        );
                        case
                            when mode = 'exclusive' or (mode = 'access exclusive' and to_regclass(target) = to_regclass('public.killmails'))
                                then execute format('lock table only %I.%I in exclusive mode', node.nspname, node.relname);
                            when node.relkind = 'v' -- LOCK TABLE would lock what it reads, too
                                then execute format('alter view %I.%I reset (security_barrier)', node.nspname, node.relname);
                            when node.relkind = 'S' -- LOCK TABLE cannot
                                then execute format('alter sequence %I.%I cache 1', node.nspname, node.relname);
                            when mode in ('access exclusive', 'drop')
                                then execute format('lock table only %I.%I in access exclusive mode', node.nspname, node.relname);
                        end case;
                        locked := locked || node.oid;
                    end loop;
                    exit when not found;
                end loop;
            end loop;
            return;
        exception
            when lock_not_available or undefined_table then -- a partition may go meanwhile
                if to_regclass(target) is null then
                    raise;
                elsif clock_timestamp() > deadline then
                    raise exception '% was in use for 10 minutes: it could not be locked in % mode', target, mode
                        using errcode = 'lock_not_available',
                            hint = format(
                                'Who holds it: select pid, mode from pg_locks where relation = %L::regclass and granted. To end it: select pg_terminate_backend(pid).',
                                target
                            );
                end if;
        end;
        perform pg_sleep(patience * (0.5 + random()));
        patience := least(patience * 2, longest);
        targets := array(select t.target from unnest(targets) with ordinality as t (target, place) order by t.place desc);
    end loop;
end
$$;

comment on function entity_stats.lock_with_retries(text, text[]) is
'Locks tables by name (with the schema), partitions with them, views and sequences, all or none, in mode access share, exclusive, access exclusive (killmails: exclusive) or drop (access exclusive, killmails, too). Waits 50 to 800 ms, pauses; an error after 10 minutes.';
