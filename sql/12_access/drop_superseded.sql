-- What an upgrade has replaced goes when that is committed and nobody is at it any more: see 01_source/earlier_versions.sql.
create or replace function entity_stats.drop_superseded()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    routines constant regprocedure [] := array(
        select p.oid::regprocedure
        from pg_proc as p
        where
            p.pronamespace = 'entity_stats'::regnamespace
            and (p.proname like '%\_before' or obj_description(p.oid, 'pg_proc') = 'Superseded.')
        order by p.oid desc
    );
    relations constant regclass [] := array(
        select c.oid::regclass
        from pg_class as c
        where
            c.relnamespace = 'entity_stats'::regnamespace
            and (
                (c.relkind = 'r' and (c.relname like '%\_before' or c.relname in ('leader', 'ranked')))
                or (c.relkind = 'v' and c.relname in ('invalidation', 'killmail'))
            )
    );
    others constant text [] := array(
        select l.virtualxid from pg_locks as l where l.locktype = 'virtualxid' and l.pid <> pg_backend_pid()
    );
    routine regprocedure;
    relation regclass;
begin
    if cardinality(routines) + cardinality(relations) = 0 then
        return;
    end if;

    -- Who has waited for the deployment may be in a function of before. Not for long: a long transaction is at something else.
    for attempt in 1 .. 20 loop
        exit when not exists (select from pg_locks as l where l.virtualxid = any(others));
        perform pg_sleep(0.1);
    end loop;

    perform entity_stats.lock_with_retries('access exclusive', variadic relations::text[]);
    foreach routine in array routines loop
        execute format('drop routine %s', routine);
    end loop;
    foreach relation in array relations loop
        execute format(
            'drop %s %s', case (select c.relkind from pg_class as c where c.oid = relation) when 'v' then 'view' else 'table' end, relation
        );
    end loop;
end
$$;

comment on function entity_stats.drop_superseded() is
'Drops the tables, views and functions of earlier versions that a deployment has replaced, when every transaction of before has ended, or after two seconds.';
