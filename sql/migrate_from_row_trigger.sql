-- Replaces an earlier cache of the same names (one table kept by a row trigger) by this project's, on a killboard in service.
-- The old trigger goes, the old table and what belongs to it get the suffix _before, everything is deployed, and the old rows
-- are copied over: readers find them under the old name until the backfill, which has to follow, begins; views and get_entity_stats() answer throughout.
-- Safe to run again when it was interrupted.
--   psql -v ON_ERROR_STOP=1 -f sql/migrate_from_row_trigger.sql
\set ON_ERROR_STOP on

-- The trigger first, in a transaction of its own: dropping it waits for the writers of killmails, and nobody shall wait behind it.
do $$
declare
    deadline constant timestamptz := clock_timestamp() + interval '10 minutes';
    old_trigger record;
    node text;
    dropped boolean;
begin
    if to_regclass('entity_stats.state') is not null then
        raise notice 'This project is deployed already: only the old rows are copied';
        return;
    elsif to_regclass('public.entity_stats_cache') is null and to_regclass('public.entity_stats_cache_before') is null then
        raise exception 'there is no earlier cache in database %', current_database()
            using errcode = 'undefined_table', hint = 'Deploy instead: psql -v ON_ERROR_STOP=1 -f sql/deploy.sql';
    end if;

    for old_trigger in
        select
            t.oid,
            t.tgname
        from pg_catalog.pg_trigger as t
        where t.tgname like 'trigger\_update\_entity\_stats\_on\_%' and not t.tgisinternal and t.tgparentid = 0
    loop
        loop
            node := (
                select format('%s.%I', c.relnamespace::regnamespace, c.relname)
                from pg_catalog.pg_trigger as t
                inner join pg_catalog.pg_class as c on t.tgrelid = c.oid
                where t.oid = old_trigger.oid
            );
            exit when node is null; -- with its table, meanwhile

            begin
                set local lock_timeout = '200ms';
                execute format('drop trigger %I on %s', old_trigger.tgname, node);
                dropped := true;
            exception
                when lock_not_available or undefined_object or undefined_table then
                    dropped := false;
            end;
            commit;
            exit when dropped;

            if clock_timestamp() > deadline then
                raise exception '% was in use for 10 minutes: the earlier cache''s trigger could not be dropped', node
                    using errcode = 'lock_not_available', hint = 'Find the long transaction (select pid, query from pg_stat_activity order by xact_start), then run this again.';
            end if;
            perform pg_sleep(0.2 + random() * 0.6);
        end loop;
        raise notice 'Dropped % of %', old_trigger.tgname, coalesce(node, 'a table that is gone');
    end loop;
end
$$;

-- One transaction with the deployment, whose COMMIT ends it: the name entity_stats_cache always is a table.
\set QUIET on
begin;
set local client_min_messages = warning;
set local lock_timeout = '5s';

do $$
declare
    command text;
begin
    if to_regclass('entity_stats.state') is not null then
        return;
    end if;

    for command in
        select format('alter table %s rename to %I', c.oid::regclass, c.relname || '_before')
        from pg_catalog.pg_class as c
        where
            c.relnamespace = 'public'::regnamespace
            and c.relkind in ('r', 'v', 'm')
            and c.relname in ('entity_stats_cache', 'character_stats', 'corporation_stats', 'alliance_stats')
        union all
        select format('alter index %s rename to %I', i.indexrelid::regclass, c.relname || '_before')
        from pg_catalog.pg_index as i
        inner join pg_catalog.pg_class as c on i.indexrelid = c.oid
        where i.indrelid = to_regclass('public.entity_stats_cache')
        union all
        select format('alter function %s rename to %I', p.oid::regprocedure, p.proname || '_before')
        from pg_catalog.pg_proc as p
        where
            p.pronamespace = 'public'::regnamespace
            and p.prokind = 'f'
            and (
                p.proname in ('update_entity_stats_on_insert', 'get_entity_stats', 'is_stats_cache_populated', 'get_stats_cache_summary')
                or p.proname like 'get\_%\_stats\_from\_cache'
                or p.proname in (
                    'get_entity_stats_from_view', 'get_top_entities_by_kills_from_cache', 'get_top_entities_by_efficiency_from_cache'
                )
            )
    loop
        execute command;
    end loop;
end
$$;

\ir deploy.sql

-- As far as it has the columns; what is null, no number, or of a type that is none, is left out.
do $$
declare
    columns_of_both text;
    values_of_both text;
begin
    if to_regclass('public.entity_stats_cache_before') is null or (select s.status <> 'empty' from entity_stats.state as s) then
        return;
    end if;

    select
        string_agg(quote_ident(n.attname), ', ' order by n.attnum),
        string_agg(
            case
                when not n.attnotnull then format('b.%I', n.attname)
                when n.atttypid = 'numeric'::regtype then format('coalesce(nullif(b.%I, ''NaN''), 0)', n.attname)
                when n.attname = 'updatedAt' then format('coalesce(b.%I, now() at time zone ''UTC'')', n.attname)
                when n.attname in ('entityId', 'entityType') then format('b.%I', n.attname)
                else format('coalesce(b.%I, 0)', n.attname)
            end, ', ' order by n.attnum
        )
    into columns_of_both, values_of_both
    from pg_catalog.pg_attribute as n
    inner join pg_catalog.pg_attribute as o on n.attname = o.attname
    where
        n.attrelid = 'public.entity_stats_cache'::regclass and n.attnum > 0 and not n.attisdropped
        and o.attrelid = 'public.entity_stats_cache_before'::regclass and o.attnum > 0 and not o.attisdropped;

    execute format(
        'insert into public.entity_stats_cache (%s) select %s from public.entity_stats_cache_before as b '
        'where b."entityType" in (''character'', ''corporation'', ''alliance'') and b."entityId" is not null on conflict do nothing',
        columns_of_both, values_of_both
    );
end
$$;

\set QUIET off
select
    count(*) as rows_until_the_backfill,
    'call entity_stats.backfill()' as next_step
from public.entity_stats_cache;
