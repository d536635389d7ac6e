-- The look at what the cache stands on, every five minutes, before the nightly cleanup, at each deployment and build. What has made
-- figures wrong is kept as an invalidation, so that it stays known when its cause is gone again; what is new is guarded, and
-- counted where that is little.
create or replace function entity_stats.note_source(adopt boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    lock table entity_stats.source in row exclusive mode; -- before it is read: REINDEX holds it and waits for readers of its index

    insert into public.entity_stats_invalidation (reason)
    select c.change
    from entity_stats.source_changes() as c
    where
        c.lasting
        and c.leaf is null
        and exists (select from entity_stats.state as s where s.status <> 'empty')
        and not exists (select from public.entity_stats_invalidation as i where i.reason = c.change);

    if
        not exists (select from entity_stats.source as s where s.self = 'entity_stats.source'::regclass)
        or (adopt and exists (select from entity_stats.source as s where s.killmails <> to_regclass('public.killmails')))
    then
        perform entity_stats.record_source();
    end if;
end
$$;

comment on function entity_stats.note_source(boolean) is
'Keeps what has made figures wrong as invalidations; takes the source as it is where it was never recorded, in a restored copy, and, when adopt says so, a table that has taken the place of killmails.';

create or replace function entity_stats.new_leaves()
returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select n.leaf
    from entity_stats.source as s
    cross join lateral unnest(entity_stats.leaves()) as n (leaf)
    where s.killmails = to_regclass('public.killmails') and n.leaf <> all(s.leaves);
end;

comment on function entity_stats.new_leaves() is 'Partitions of killmails that the cache does not know of.';

create or replace function entity_stats.admit(fresh oid[], counted boolean default true)
returns void
language sql
set search_path = pg_catalog, pg_temp
begin atomic
    insert into public.entity_stats_invalidation (reason)
    select format('partition %s came with killmails in it', f.node::regclass)
    from unnest(admit.fresh) as f (node)
    where
        (
            not admit.counted
            -- What has come and gone was counted with what it had, and nobody who saw it go knew of it.
            or f.node not in (
                select n.node::oid from entity_stats.nodes() as n (node)
                union all
                select k.node from entity_stats.source as s cross join lateral unnest(s.nodes) as k (node)
            )
        )
        and exists (select from entity_stats.state as s where s.status <> 'empty');

    update entity_stats.source as s
    set
        nodes = s.nodes || array(select f.node from unnest(admit.fresh) as f (node) where f.node <> all(s.nodes)),
        leaves = s.leaves || array(select c.oid from pg_class as c where c.oid = any(admit.fresh) and c.oid <> all(s.leaves) and c.relkind <> 'p')
    where not admit.fresh <@ s.nodes;
end;

comment on function entity_stats.admit(oid[], boolean) is
'Adds tables that have come to killmails to what the cache stands on; killmails in them that it could not count, or that have gone meanwhile, invalidate it.';

create or replace function entity_stats.entities_in(leaf oid, entity_type text)
returns bigint[]
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    ids bigint [];
begin
    execute format(
        'select array_agg(distinct p.id) from only %1$s as k '
        'cross join lateral (values (k."topAttacker%2$sId"::bigint), (k."victim%2$sId"::bigint)) as p (id) where p.id <> 0',
        entity_stats.name_of(leaf), initcap(entity_type)
    )
    into ids;
    return ids;
exception
    when undefined_table then
        return null;
end
$$;

comment on function entity_stats.entities_in(oid, text) is 'Ids of the entities of a type that have killmails in a partition; null when it is gone.';

create or replace function entity_stats.months_in(leaf oid)
returns date[]
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    months date [];
begin
    execute format(
        'select array_agg(distinct date_trunc(''month'', k."killmailTime" at time zone ''UTC'')::date) from only %s as k', entity_stats.name_of(leaf)
    )
    into months;
    return months;
exception
    when undefined_table then
        return null;
end
$$;

comment on function entity_stats.months_in(oid) is 'Months (UTC) that have killmails in a partition; null when it is gone.';

create or replace function entity_stats.is_countable(leaf oid)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    countable boolean;
begin
    execute format('select count(*) <= 50000 from (select from only %s limit 50001) as k', entity_stats.name_of(leaf)) into countable;
    return
        countable
        and pg_stat_get_tuples_deleted(leaf) = 0
        and not exists (select from public.entity_stats_invalidation)
        and exists (select from entity_stats.state as s where s.status = 'ready' and not s.retaining);
exception
    when undefined_table then
        return false;
end
$$;

comment on function entity_stats.is_countable(oid) is
'Whether recalculating the entities of a partition that came makes the cache exact: it has at most 50,000 killmails, none was deleted from it, and no build is under way.';

create or replace procedure entity_stats.look_at_source(adopt boolean default false)
language plpgsql
as $$
declare
    new_leaf oid;
    countable boolean;
    type text;
    ids bigint [];
    month date;
begin
    call entity_stats.require_autocommit('look_at_source');
    perform entity_stats.note_source(adopt);
    commit;
    if exists (select from entity_stats.source_changes() as c where c.blocking) then
        return;
    end if;

    call entity_stats.guard_killmails();

    -- Guarded first: what comes from here on is captured. Then counted, whatever was captured of it before: recalculation does not ask.
    lock table entity_stats.source in row exclusive mode;
    for new_leaf in select l.leaf from entity_stats.new_leaves() as l (leaf) loop
        countable := true;
        if not coalesce(entity_stats.is_filled(new_leaf), true) then
            raise notice 'Partition % is empty', new_leaf::regclass;
        elsif entity_stats.is_countable(new_leaf) then
            foreach type in array array['character', 'corporation', 'alliance'] loop
                ids := entity_stats.entities_in(new_leaf, type);
                for i in 1 .. coalesce(pg_catalog.array_length(ids, 1), 0) by 200 loop
                    perform from entity_stats.recalculate_entities(type, ids[i : i + 199]);
                    commit;
                end loop;
            end loop;
            for month in select m.month from pg_catalog.unnest(entity_stats.months_in(new_leaf)) as m (month) loop
                perform entity_stats.recount_month(month);
                commit;
            end loop;
            raise notice 'Partition % is counted', new_leaf::regclass;
        else
            countable := false;
        end if;
        perform entity_stats.admit(array[new_leaf], countable);
        commit;
    end loop;
    -- Tables that route to them.
    perform entity_stats.admit(array(select n.node::oid from entity_stats.nodes() as n (node)));
    commit;

    if adopt then
        perform entity_stats.drop_superseded();
        commit;
    end if;
end
$$;

comment on procedure entity_stats.look_at_source (boolean) is
'Looks at what has become of killmails: keeps what made figures wrong, guards what is new, counts new partitions of at most 50,000 killmails. adopt (deployment): take a table that has taken the place of killmails, drop what it has replaced. Call it with autocommit.';
