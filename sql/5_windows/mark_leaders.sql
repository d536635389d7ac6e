-- New lists of leaders, so that each has about as many entities as its mark is meant for: during the day they only grow, and ageing
-- takes kills away. From the moment that new marks are there every COMMIT files for the old lists and for the new; then
-- who was over a new mark before is filed, then readers go over to the new lists. Every step is a short transaction.
create or replace function entity_stats.draw_marks(most integer)
returns integer[]
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set work_mem = '64MB'
as $$
declare
    least constant bigint := 10; -- kills, on a list by efficiency
    marks entity_stats.mark [];
    lists integer [];
begin
    -- Any marks are right: they are drawn before the gate closes.
    select array(
        select row(null, e.type, w.bit, coalesce(m.kills, 0) + 1, null, null, false)::entity_stats.mark
        from entity_stats.time_window as w
        cross join unnest('{character,corporation,alliance}'::text[]) as e (type)
        left join (
            select h."entityType", h.periods, max(h.kills) as kills
            from (
                select c."entityType", c.periods, c.kills, sum(count(*)) over (partition by c."entityType", c.periods order by c.kills desc) as entities
                from entity_stats.cached() as c
                where c.kills > 0
                group by c."entityType", c.periods, c.kills
            ) as h
            where h.entities > most
            group by h."entityType", h.periods
        ) as m
            on e.type = m."entityType" and w.bit = m.periods
        union all
        select
            row(
                null, e.type, w.bit,
                case when m.efficiency >= 100 then m.kills + 1 else least end,
                case when m.efficiency >= 100 then 100 else coalesce(m.efficiency + 0.0001, 0) end,
                null, false
            )::entity_stats.mark
        from entity_stats.time_window as w
        cross join unnest('{character,corporation,alliance}'::text[]) as e (type)
        left join (
            select
                s."entityType", c.periods, s.kills, s.efficiency,
                row_number() over (partition by s."entityType", c.periods order by s.efficiency desc, s.kills desc) as place
            from entity_stats.cached() as c
            cross join lateral entity_stats.stats(c) as s
            where c.kills >= least
        ) as m
            on e.type = m."entityType" and w.bit = m.periods and m.place = most + 1
    )
    into marks;

    perform entity_stats.close_gate();

    if exists (select from entity_stats.invalidation) or not exists (select from entity_stats.state as s where s.status = 'ready') then
        return null;
    end if;

    delete from entity_stats.mark as m where not m.complete; -- of a run that did not finish

    with drawn as (
        insert into entity_stats.mark ("entityType", periods, kills, efficiency)
        select m."entityType", m.periods, m.kills, m.efficiency
        from unnest(marks) as m
        returning list
    )

    select array_agg(d.list) into lists from drawn as d;

    return lists;
end
$$;

comment on function entity_stats.draw_marks(integer) is
'Under the gate: makes a list for each type, period and order, with a mark that at most most entities are over; returns them, null when the cache is not ready.';

create or replace function entity_stats.unfiled(lists integer[])
returns entity_stats.leader[]
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
begin atomic
    select array_agg(o)
    from public.entity_stats_cache as c
    cross join lateral entity_stats.over_mark(c) as o
    left join entity_stats.leader as l on o.list = l.list and o."entityId" = l."entityId"
    where o.list = any(unfiled.lists) and l.list is null;
end;

comment on function entity_stats.unfiled(integer[]) is 'Who is over the marks of some lists and not on them. Reads the whole cache.';

create or replace function entity_stats.file_leaders(leaders entity_stats.leader[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform entity_stats.close_gate(); -- a COMMIT that files somebody in another order could wait for us while we wait for it
    insert into entity_stats.leader select l.* from unnest(leaders) as l on conflict do nothing;
end
$$;

comment on function entity_stats.file_leaders(entity_stats.leader[]) is 'Under the gate: puts entities on lists.';

create or replace function entity_stats.complete_marks(lists integer[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform entity_stats.close_gate();

    -- Else somebody else has drawn marks since then, or the cache has been emptied.
    if (select count(*) = cardinality(lists) from entity_stats.mark as m where m.list = any(lists)) then
        delete from entity_stats.mark as m where m.list <> all(lists);
        update entity_stats.mark as m set complete = true;
    end if;
end
$$;

comment on function entity_stats.complete_marks(integer[]) is 'Under the gate: readers and COMMITs go over to these lists.';

create or replace procedure entity_stats.mark_leaders(most integer default 250)
language plpgsql
as $$
declare
    slice constant integer := 500;
    lists integer [];
    leaders entity_stats.leader [];
begin
    call entity_stats.require_autocommit('mark_leaders');
    lists := entity_stats.draw_marks(most);
    commit; -- all that commit from here on file for these lists

    if lists is null then
        raise notice 'The cache is not ready: there are no leaders';
        return;
    end if;

    leaders := entity_stats.unfiled(lists);
    for i in 1 .. coalesce(pg_catalog.cardinality(leaders), 0) by slice loop
        perform entity_stats.file_leaders(leaders[i : i + slice - 1]);
        commit;
    end loop;

    perform entity_stats.complete_marks(lists);
    commit;

    delete from entity_stats.leader as l where not exists (select from entity_stats.mark as m where m.list = l.list);
    raise notice 'Filed % leaders', pg_catalog.to_char(coalesce(pg_catalog.cardinality(leaders), 0), 'FM999,999,999,990');
end
$$;

comment on procedure entity_stats.mark_leaders (integer) is
'Makes the lists that leaderboards read anew, each of at most most entities, while the cache is read and written: the nightly cleanup does. Call it with autocommit.';
