-- Leaderboard: highest ISK efficiency first among those with enough kills, ties by kills, then id.
create or replace function public.get_top_entities_by_efficiency_from_cache(
    entity_type text, period text default 'all', min_kills bigint default 10, max_entities integer default 10
)
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
    where d."entityType" = entity_type and d.periods = bit and d.kills >= greatest(min_kills, 1)
    order by s.efficiency desc, d.kills desc, d."entityId"
    limit max_entities;
end
$$;

revoke execute on function public.get_top_entities_by_efficiency_from_cache(text, text, bigint, integer) from public;

comment on function public.get_top_entities_by_efficiency_from_cache(text, text, bigint, integer) is
'The entities of a type with the highest ISK efficiency among those with at least min_kills kills in a period, ties by kills, then id; at most max_entities.';
