-- Leaderboard: most kills first, ties by id.
create or replace function public.get_top_entities_by_kills_from_cache(entity_type text, period text default 'all', max_entities integer default 10)
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
    mark entity_stats.mark;
    best entity_stats.delta [];
begin
    select m.* into mark
    from entity_stats.mark as m
    where m."entityType" = entity_type and m.periods = bit and m.efficiency is null and m.complete;

    if found then
        select coalesce(array_agg(row(b.*)::entity_stats.delta), '{}')
        into best
        from (
            select d.*
            from entity_stats.leaders(mark.list, entity_type, bit) as d
            where d.kills >= mark.kills
            order by d.kills desc, d."entityId"
            limit max_entities
        ) as b;
    end if;

    -- Whoever is not on the list has fewer kills than all of these: they are enough, or there is nobody else.
    if cardinality(best) >= max_entities or mark.kills <= 1 then
        return query
        select s.*
        from unnest(best) as d
        cross join lateral entity_stats.stats(d) as s
        order by s.kills desc, s."entityId";
    else
        return query
        select s.*
        from entity_stats.cached() as d
        cross join lateral entity_stats.stats(d) as s
        where d."entityType" = entity_type and d.periods = bit and d.kills > 0
        order by s.kills desc, s."entityId"
        limit max_entities;
    end if;
end
$$;

revoke execute on function public.get_top_entities_by_kills_from_cache(text, text, integer) from public;

comment on function public.get_top_entities_by_kills_from_cache(text, text, integer) is
'The entities of a type with the most kills in a period (all, 90d, 30d, 14d), ties by id; at most max_entities. ISK; times in UTC. Fast up to about 250 entities, fewer where many have the same kills; a longer list reads the whole cache.';
