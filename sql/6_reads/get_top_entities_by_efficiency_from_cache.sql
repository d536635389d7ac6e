-- Leaderboard: highest ISK efficiency first among those with enough kills, ties by kills, then id.
create or replace function public.get_top_entities_by_efficiency_from_cache(
    entity_type text, period text default 'all', min_kills bigint default 10, max_entities integer default 10
)
returns setof entity_stats.stats
language plpgsql stable security definer -- readers have no right on the cache
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan -- planning takes longer than reading
as $$
declare
    bit constant integer := entity_stats.period_bit(entity_type, period);
    enough constant bigint := greatest(min_kills, 1);
    rung constant integer := entity_stats.rung(enough);
    lowest integer := greatest(rung, entity_stats.rung_of_place(entity_type, bit, 2, greatest(max_entities, 1)));
    best entity_stats.stats [];
begin
    -- Class by class from the top, until no lower class can reach the last place. In the highest all have 100 % and kills decide,
    -- so that the highest rungs will do if they hold enough entities. Below 10 kills nobody is filed: only 100 % proves a place.
    for class in reverse 2 .. 0 loop
        select array_agg(row(b.*)::entity_stats.stats order by b.efficiency desc, b.kills desc, b."entityId")
        into best
        from (
            select s.*
            from entity_stats.ranked(entity_type, bit, class, lowest) as d
            cross join lateral entity_stats.stats(d) as s
            where d.kills >= enough
            order by s.efficiency desc, s.kills desc, s."entityId"
            limit max_entities
        ) as b;
        exit when best[max_entities].efficiency > case class when 2 then 99.9999 when 1 then 99 end;
        exit when rung = 0;

        lowest := rung;
    end loop;

    if rung = 0 and best[max_entities] is null then
        select array_agg(row(b.*)::entity_stats.stats order by b.efficiency desc, b.kills desc, b."entityId")
        into best
        from (
            select s.*
            from entity_stats.cached() as d
            cross join lateral entity_stats.stats(d) as s
            where d."entityType" = entity_type and d.periods = bit and d.kills >= enough
            order by s.efficiency desc, s.kills desc, s."entityId"
            limit max_entities
        ) as b;
    end if;

    return query select b.* from unnest(best) as b;
end
$$;

revoke execute on function public.get_top_entities_by_efficiency_from_cache(text, text, bigint, integer) from public;

comment on function public.get_top_entities_by_efficiency_from_cache(text, text, bigint, integer) is
'The entities of a type with the highest ISK efficiency among those with at least min_kills kills in a period, ties by kills, then id; at most max_entities. With min_kills below 10 it may read the whole cache.';
