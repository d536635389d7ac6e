-- get_entity_stats_from_cache() for one alliance. Inlined into the calling query.
create or replace function public.get_alliance_stats_from_cache(alliance_id bigint, period text default 'all')
returns setof entity_stats.stats
language sql stable rows 1
begin atomic
    select s.* from public.get_entity_stats_from_cache(alliance_id, 'alliance', period) as s;
end;

revoke execute on function public.get_alliance_stats_from_cache(bigint, text) from public;

comment on function public.get_alliance_stats_from_cache(bigint, text) is
'Stats of one alliance in a period (all, 90d, 30d, 14d) from the cache. No row: unknown alliance. ISK; times in UTC.';
