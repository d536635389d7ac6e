-- Populated means ready: exact and complete. A cache with rows in it may be half built. Pages ask it, so it looks at what is recorded;
-- what has become of killmails since the last look, status() finds out. PL/pgSQL keeps the plan.
create or replace function public.is_stats_cache_populated()
returns boolean
language plpgsql stable security definer -- readers have no right on the state
set search_path = pg_catalog, pg_temp
as $$
begin
    return
        exists (select from entity_stats.state as s where s.status = 'ready')
        and not exists (select from public.entity_stats_invalidation)
        and not exists (
            select
            from entity_stats.source as s
            where s.self = 'entity_stats.source'::regclass and s.killmails is distinct from to_regclass('public.killmails')
        );
end
$$;

revoke execute on function public.is_stats_cache_populated() from public;

comment on function public.is_stats_cache_populated() is 'True when the cache is ready: backfilled, exact and live.';
