-- Leaderboard: highest ISK efficiency first among those with enough kills, ties by kills, then id.
create or replace function public.get_top_entities_by_efficiency_from_cache(
    entity_type text, period text default 'all', min_kills bigint default 10, max_entities integer default 10
)
returns setof entity_stats.stats
language plpgsql stable security definer -- readers have no right on the cache
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan -- planning takes longer than reading
set enable_hashjoin = off -- who is on a list is looked up: never read the cache for them
set enable_mergejoin = off
set jit = off
as $$
declare
    bit constant integer := entity_stats.period_bit(entity_type, period);
    enough constant bigint := greatest(min_kills, 1);
    mark record;
    best entity_stats.stats [];
    last_one entity_stats.stats;
begin
    -- The list by efficiency, then the list by kills.
    for mark in
        select m.list, m.kills, coalesce(m.efficiency, 0) as efficiency
        from entity_stats.mark as m
        where m."entityType" = entity_type and m.periods = bit and m.complete and (m.efficiency is not null or m.kills <= enough)
        order by m.efficiency nulls last
    loop
        select array_agg(row(b.*)::entity_stats.stats order by b.efficiency desc, b.kills desc, b."entityId")
        into best
        from (
            select s.*
            from entity_stats.leaders(mark.list, entity_type, bit) as d
            cross join lateral entity_stats.stats(d) as s
            where d.kills >= enough
            order by s.efficiency desc, s.kills desc, s."entityId"
            limit max_entities
        ) as b;
        last_one := best[max_entities];

        -- Whoever ranks before the last of these is over the mark, or there is nobody with enough kills who is not.
        if
            (mark.efficiency = 0 and mark.kills <= enough)
            or (last_one.efficiency >= mark.efficiency and (mark.kills <= enough or (last_one.efficiency = 100 and last_one.kills >= mark.kills)))
        then
            return query select b.* from unnest(best) as b;
            return;
        end if;
    end loop;

    return query
    select s.*
    from entity_stats.cached() as d
    cross join lateral entity_stats.stats(d) as s
    where d."entityType" = entity_type and d.periods = bit and d.kills >= enough
    order by s.efficiency desc, s.kills desc, s."entityId"
    limit max_entities;
end
$$;

revoke execute on function public.get_top_entities_by_efficiency_from_cache(text, text, bigint, integer) from public;

comment on function public.get_top_entities_by_efficiency_from_cache(text, text, bigint, integer) is
'The entities of a type with the highest ISK efficiency among those with min_kills kills or more in a period, ties by kills, id; at most max_entities. Fast where the best 250 of at least 10 kills, or the 250 with the most kills, are enough; else it reads the whole cache.';
