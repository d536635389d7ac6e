-- New lists of leaders, so that each has about as many entities as its mark is meant for: during the day they only grow, and ageing
-- takes kills away. From the moment that new marks are there every COMMIT files for the old lists and for the new; then
-- who was over a new mark before is filed, then readers go over to the new lists. Every step is a short transaction.
create or replace function entity_stats.draw_marks(most integer)
returns xid8
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set work_mem = '64MB'
as $$
declare
    -- All of a small cache; of a tenth, a list has about a fifth more or less than most.
    one_in constant integer := (
        select greatest(1, least(10, c.reltuples / 50000)) from pg_class as c where c.oid = 'public.entity_stats_cache'::regclass
    );
    marks entity_stats.mark [];
    turn smallint;
begin
    -- Any marks are right: they are drawn before the gate closes, from a sample. Of the efficient, those that have lost nothing
    -- differ by kills.
    select array(
        select
            row(
                e.type, w.bit, w.bit,
                coalesce(max(n.figure) filter (where n.metric = 'kills'), 0) + 1,
                coalesce(max(n.figure) filter (where n.metric = 'isk'), 0) + 0.01,
                coalesce(max(n.figure) filter (where n.metric = 'solo'), 0) + 1,
                coalesce(max(least(n.figure + 0.0001, 100)) filter (where n.metric = 'efficiency'), 0),
                greatest(max(n.kills + 1) filter (where n.metric = 'efficiency' and n.figure = 100), entity_stats.efficient_kills()),
                null, pg_current_xact_id(), false
            )::entity_stats.mark
        from entity_stats.time_window as w
        cross join unnest('{character,corporation,alliance}'::text[]) as e (type)
        left join (
            select
                s."entityType",
                c.periods,
                m.metric,
                f.figure,
                s.kills,
                row_number() over (partition by s."entityType", c.periods, m.metric order by f.figure desc, s.kills desc) as place
            from entity_stats.cached() as c
            cross join lateral entity_stats.in_scope(c, 'players') as s
            cross join unnest('{kills,isk,solo,efficiency}'::text[]) as m (metric)
            cross join lateral entity_stats.figure(s, m.metric) as f
            where
                hashint8(c."entityId") % one_in = 0
                and f.figure > 0
                and s.kills >= case m.metric when 'efficiency' then entity_stats.efficient_kills() else 1 end
        ) as n
            on e.type = n."entityType" and w.bit = n.periods and n.place = most / one_in + 1
        group by e.type, w.bit
    )
    into marks;

    perform entity_stats.close_gate();
    lock table entity_stats.mark in row exclusive mode; -- before it is read: REINDEX holds it and waits for readers of its index

    if not public.is_stats_cache_populated() then
        return null;
    end if;

    delete from entity_stats.mark as m where not m.complete; -- of a run that did not finish
    turn := case when exists (select from entity_stats.mark as m where m.list = m.periods) then 16 else 1 end;

    insert into entity_stats.mark ("entityType", list, periods, kills, isk, solo, efficiency, "efficientKills")
    select m."entityType", m.list * turn, m.periods, m.kills, m.isk, m.solo, m.efficiency, m."efficientKills"
    from unnest(marks) as m;

    return pg_current_xact_id();
end
$$;

comment on function entity_stats.draw_marks(integer) is
'Under the gate: makes a list for each type and period, with a mark for each metric that about most entities of players are over; returns which run drew them, null when the cache is not ready.';

create or replace function entity_stats.lists(c public.entity_stats_cache)
returns smallint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select coalesce(bit_or(o.list), 0::smallint) from entity_stats.over_mark(c) as o;
end;

comment on function entity_stats.lists(public.entity_stats_cache) is 'The lists on which an entity must be, added up, as in its row.';

create or replace function entity_stats.misfiled(out types text[], out ids bigint[])
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
begin atomic
    with listed as (
        select c."entityType", c."entityId", bit_or(o.list) as lists
        from public.entity_stats_cache as c
        cross join lateral entity_stats.over_mark(c) as o
        group by c."entityType", c."entityId"
    )

    select array_agg(m.type order by m.type desc, m.id), array_agg(m.id order by m.type desc, m.id)
    from (
        select coalesce(l."entityType", c."entityType") as type, coalesce(l."entityId", c."entityId") as id
        from listed as l
        full join (select c."entityType", c."entityId", c.leads from public.entity_stats_cache as c where c.leads <> 0) as c
            on l."entityType" = c."entityType" and l."entityId" = c."entityId"
        where coalesce(l.lists, 0) <> coalesce(c.leads, 0)
    ) as m;
end;

comment on function entity_stats.misfiled() is
'Entities that are not on the list of a mark that they are over, or on one whose mark they are not over any more. Reads the whole cache.';

create or replace function entity_stats.file_leaders(types text[], ids bigint[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    lock table entity_stats.gate in row share mode; -- no marks come or go
    lock table public.entity_stats_cache in row exclusive mode; -- before it is read: REINDEX holds it and waits for readers of its indexes

    perform
    from unnest(types, ids) as k (type, id)
    inner join public.entity_stats_cache as c on k.id = c."entityId" and k.type = c."entityType"
    order by c."entityType" desc, c."entityId" -- the order in which everybody locks rows
    for no key update of c;

    update public.entity_stats_cache as c
    set leads = entity_stats.lists(c)
    from unnest(types, ids) as k (type, id)
    where k.id = c."entityId" and k.type = c."entityType" and c.leads <> entity_stats.lists(c);
end
$$;

comment on function entity_stats.file_leaders(text[], bigint[]) is
'Puts entities, by type and id, on the lists on which they must be, and takes them off the others.';

create or replace function entity_stats.complete_marks(draw xid8)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform entity_stats.close_gate();
    lock table entity_stats.mark in row exclusive mode;

    -- Else somebody else has drawn marks since then, or the cache has been emptied.
    if exists (select from entity_stats.mark as m where m.drawn = draw) then
        delete from entity_stats.mark as m where m.drawn <> draw;
        update entity_stats.mark as m set complete = true;
    end if;
end
$$;

comment on function entity_stats.complete_marks(xid8) is 'Under the gate: readers and COMMITs go over to the lists that this run drew.';

create or replace procedure entity_stats.mark_leaders(most integer default 250)
language plpgsql
as $$
declare
    slice constant integer := 100; -- a COMMIT waits for the rows of one
    draw xid8;
    misfiled record;
begin
    call entity_stats.require_autocommit('mark_leaders');
    draw := entity_stats.draw_marks(most);
    commit; -- all that commit from here on file for these lists

    if draw is null then
        raise notice 'The cache is not ready: there are no leaders';
        return;
    end if;

    select m.* into misfiled from entity_stats.misfiled() as m;
    commit; -- nothing is read and then written in one transaction: REINDEX would come between
    for i in 1 .. coalesce(pg_catalog.cardinality(misfiled.ids), 0) by slice loop
        perform entity_stats.file_leaders(misfiled.types[i : i + slice - 1], misfiled.ids[i : i + slice - 1]);
        commit;
    end loop;

    perform entity_stats.complete_marks(draw);
    commit;

    raise notice 'Filed % leaders', pg_catalog.to_char(coalesce(pg_catalog.cardinality(misfiled.ids), 0), 'FM999,999,999,990');
end
$$;

comment on procedure entity_stats.mark_leaders (integer) is
'Makes new lists for the leaderboards, with about most entities of players for each metric, while the cache is read and written; the nightly cleanup does this. Call it with autocommit.';
