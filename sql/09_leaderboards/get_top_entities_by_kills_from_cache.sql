-- Leaderboard: most kills first, ties by id.
drop function if exists public.get_top_entities_by_kills_from_cache(text, text, integer); -- of the version without a scope

create or replace function public.get_top_entities_by_kills_from_cache(
    entity_type text, period text default 'all', max_entities integer default 10, scope text default 'players'
)
returns setof entity_stats.stats
language sql stable
begin atomic
    select t.* from public.get_top_entities_from_cache(entity_type, period, 'kills', scope, max_entities) as t;
end;

revoke execute on function public.get_top_entities_by_kills_from_cache(text, text, integer, text) from public;

comment on function public.get_top_entities_by_kills_from_cache(text, text, integer, text) is
'The entities of a type with the most kills in a period, ties by id; at most max_entities. The same as get_top_entities_from_cache() by kills: scope players or all.';
