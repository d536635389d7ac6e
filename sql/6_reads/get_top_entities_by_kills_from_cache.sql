-- Leaderboard: most kills first, ties by id.
create or replace function public.get_top_entities_by_kills_from_cache(entity_type text, period text default 'all', max_entities integer default 10)
returns setof entity_stats.stats
language plpgsql stable security definer -- readers have no right on the cache
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan -- planning takes longer than reading
as $$
declare
    bit constant integer := entity_stats.period_bit(entity_type, period);
    lowest integer;
begin
    if max_entities is not null then
        lowest := entity_stats.rung_of_place(entity_type, bit, 0, greatest(max_entities, 1));
    end if;

    if lowest is not null then
        -- Whoever is filed on a lower rung has fewer kills than all of these, and they are enough.
        return query
        select s.*
        from (
            select r.*
            from entity_stats.ranked(entity_type, bit, 0, lowest) as r
            order by r.kills desc, r."entityId"
            limit max_entities
        ) as d
        cross join lateral entity_stats.stats(row(d.*)::entity_stats.delta) as s
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
'The entities of a type with the most kills in a period (all, 90d, 30d, 14d), ties by id; at most max_entities. ISK; times in UTC. Fast while that many entities have 10 kills or more, else it reads the whole cache.';
