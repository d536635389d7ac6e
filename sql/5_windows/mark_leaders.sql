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
    marks entity_stats.mark [];
    lists integer [];
begin
    -- Any marks are right: they are drawn before the gate closes, and ISK is taken in steps of 2 %, so that there are few of them.
    -- Among the efficient those that have lost nothing differ by kills: 100 and their kills.
    select array(
        select
            row(
                null, e.type, w.bit,
                coalesce(max(m.figure) filter (where m.metric = 'kills'), 0) + 1,
                round(coalesce(max(m.figure) filter (where m.metric = 'isk'), 0), 2) + 0.01,
                coalesce(max(m.figure) filter (where m.metric = 'solo'), 0) + 1,
                coalesce(max(least(m.figure + 0.0001, 100)) filter (where m.metric = 'efficiency'), 0),
                greatest(max(m.figure) filter (where m.metric = 'efficiency') - 100 + 1, entity_stats.efficient_kills()),
                null, false
            )::entity_stats.mark
        from entity_stats.time_window as w
        cross join unnest('{character,corporation,alliance}'::text[]) as e (type)
        left join (
            select h."entityType", h.periods, h.metric, max(h.figure) as figure
            from (
                select
                    c."entityType", c.periods, f.metric, f.figure,
                    sum(count(*)) over (partition by c."entityType", c.periods, f.metric order by f.figure desc) as entities
                from entity_stats.cached() as c
                cross join lateral entity_stats.in_scope(c, 'players') as s
                cross join lateral (
                    values
                    ('kills', s.kills::numeric),
                    ('isk', case when s."iskDestroyed" > 0 then exp(ceil(ln(s."iskDestroyed"::double precision) * 50) / 50)::numeric end),
                    ('solo', s."soloKills"),
                    (
                        'efficiency',
                        case when s.kills >= entity_stats.efficient_kills() then s.efficiency + case when s.efficiency = 100 then s.kills else 0 end end
                    )
                ) as f (metric, figure)
                where s.kills > 0 and f.figure > 0
                group by c."entityType", c.periods, f.metric, f.figure
            ) as h
            where h.entities > most
            group by h."entityType", h.periods, h.metric
        ) as m
            on e.type = m."entityType" and w.bit = m.periods
        group by e.type, w.bit
    )
    into marks;

    perform entity_stats.close_gate();

    if exists (select from entity_stats.invalidation) or not exists (select from entity_stats.state as s where s.status = 'ready') then
        return null;
    end if;

    delete from entity_stats.mark as m where not m.complete; -- of a run that did not finish

    with drawn as (
        insert into entity_stats.mark ("entityType", periods, kills, isk, solo, efficiency, "efficientKills")
        select m."entityType", m.periods, m.kills, m.isk, m.solo, m.efficiency, m."efficientKills"
        from unnest(marks) as m
        returning list
    )

    select array_agg(d.list) into lists from drawn as d;

    return lists;
end
$$;

comment on function entity_stats.draw_marks(integer) is
'Under the gate: makes a list for each type and period, with a mark for each metric that about most entities of players are over; returns them, null when the cache is not ready.';

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
'Makes new lists for the leaderboards, with about most entities of players for each metric, while the cache is read and written; the nightly cleanup does this. Call it with autocommit.';
