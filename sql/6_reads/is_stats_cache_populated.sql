-- Populated means ready: exact and complete. A cache with rows in it may be half built. PL/pgSQL keeps the plan.
create or replace function public.is_stats_cache_populated()
returns boolean
language plpgsql stable security definer -- readers have no right on the state
set search_path = pg_catalog, pg_temp
as $$
begin
    return
        exists (select from entity_stats.state as s where s.status = 'ready')
        and not exists (select from entity_stats.invalidation)
        and entity_stats.source_change() is null;
end
$$;

revoke execute on function public.is_stats_cache_populated() from public;

comment on function public.is_stats_cache_populated() is 'True when the cache is ready: backfilled, exact and live.';
