-- Leaderboard: highest ISK efficiency first among those with enough kills, ties by kills, then id.
drop function if exists public.get_top_entities_by_efficiency_from_cache(text, text, bigint, integer); -- of the version without a scope

create or replace function public.get_top_entities_by_efficiency_from_cache(
    entity_type text, period text default 'all', min_kills bigint default 10, max_entities integer default 10, scope text default 'players'
)
returns setof entity_stats.stats
language sql stable
begin atomic
    select t.* from public.get_top_entities_from_cache(entity_type, period, 'efficiency', scope, max_entities, min_kills) as t;
end;

revoke execute on function public.get_top_entities_by_efficiency_from_cache(text, text, bigint, integer, text) from public;

comment on function public.get_top_entities_by_efficiency_from_cache(text, text, bigint, integer, text) is
'The entities of a type with the highest ISK efficiency among those with min_kills kills or more in a period, ties by kills, id; at most max_entities. The same as get_top_entities_from_cache() by efficiency: scope players or all.';
