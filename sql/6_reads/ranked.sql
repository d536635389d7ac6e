-- The file of ranks as leaderboards read it.
create or replace function entity_stats.ranked(entity_type text, period_bit integer, from_class integer, from_rung integer)
returns setof entity_stats.delta
language sql stable
begin atomic
    select d.*
    from (values (0), (1), (2)) as class (class) -- three, which the planner would not know of a series
    inner join entity_stats.ranked as r
        on r.rank >= 64 * class.class + ranked.from_rung and r.rank < 64 * class.class + 64
    inner join entity_stats.cached() as d on r."entityId" = d."entityId" and r."entityType" = d."entityType" and r.periods = d.periods
    where class.class >= ranked.from_class and r."entityType" = ranked.entity_type and r.periods = ranked.period_bit and d.periods = ranked.period_bit;
end;

comment on function entity_stats.ranked(text, integer, integer, integer) is
'The live rows of entities that are filed at least that high: in classes from_class to 2 (99 %, 100 % of efficiency), from rung from_rung up. Inlined into the calling query.';

create or replace function entity_stats.rung_of_place(entity_type text, period_bit integer, from_class integer, place bigint)
returns integer
language plpgsql stable -- keeps the plan
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    return (
        select top.rank % 64
        from (values (0), (1), (2)) as class (class)
        cross join
            lateral (
                select r.rank
                from entity_stats.ranked as r
                where
                    r."entityType" = rung_of_place.entity_type
                    and r.periods = rung_of_place.period_bit
                    and r.rank >= 64 * class.class
                    and r.rank < 64 * class.class + 64
                order by r.rank desc
                limit rung_of_place.place
            ) as top
        where class.class >= rung_of_place.from_class
        order by top.rank % 64 desc
        limit 1 offset rung_of_place.place - 1
    );
end
$$;

comment on function entity_stats.rung_of_place(text, integer, integer, bigint) is
'The rung of the entity in that place by kills among those filed in classes from_class to 2; null when there are fewer.';
