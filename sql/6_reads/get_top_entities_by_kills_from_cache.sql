-- Leaderboard: most kills first, ties by id.
create or replace function public.get_top_entities_by_kills_from_cache(entity_type text, period text default 'all', max_entities integer default 10)
returns setof entity_stats.stats
language plpgsql stable security definer -- readers have no right on the cache's internals
set search_path = pg_catalog, pg_temp
as $$
declare
    bit constant integer := entity_stats.period_bit(entity_type, period);
begin
    return query
    select s.*
    from entity_stats.cached() as d
    cross join lateral entity_stats.stats(d) as s
    where d."entityType" = entity_type and d.periods = bit and d.kills > 0
    order by d.kills desc, d."entityId"
    limit max_entities;
end
$$;

revoke execute on function public.get_top_entities_by_kills_from_cache(text, text, integer) from public;

comment on function public.get_top_entities_by_kills_from_cache(text, text, integer) is
'The entities of a type with the most kills in a period (all, 90d, 30d, 14d), ties by id; at most max_entities. ISK; times in UTC.';
