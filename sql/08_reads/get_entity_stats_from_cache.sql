-- One entity in one period, from the cache: one lookup by primary key, in a plan that the session keeps.
-- A branch per period: the constant lets the plan read one period's columns and no others (half the time of a parameter).
create or replace function public.get_entity_stats_from_cache(entity_id bigint, entity_type text, period text default 'all')
returns setof entity_stats.stats
language plpgsql stable security definer rows 1 -- readers have no right on the cache
set search_path = pg_catalog, pg_temp
as $$
begin
    if period = 'all' then
        return query
        select s.*
        from entity_stats.cached() as d
        cross join lateral entity_stats.stats(d) as s
        where d."entityId" = entity_id and d."entityType" = entity_type and d.periods = 1;
    elsif period = '90d' then
        return query
        select s.*
        from entity_stats.cached() as d
        cross join lateral entity_stats.stats(d) as s
        where d."entityId" = entity_id and d."entityType" = entity_type and d.periods = 2;
    elsif period = '30d' then
        return query
        select s.*
        from entity_stats.cached() as d
        cross join lateral entity_stats.stats(d) as s
        where d."entityId" = entity_id and d."entityType" = entity_type and d.periods = 4;
    elsif period = '14d' then
        return query
        select s.*
        from entity_stats.cached() as d
        cross join lateral entity_stats.stats(d) as s
        where d."entityId" = entity_id and d."entityType" = entity_type and d.periods = 8;
    end if;

    -- No row: an unknown entity, or arguments that no entity has.
    if not found then
        perform entity_stats.period_bit(entity_type, period);
    end if;
end
$$;

revoke execute on function public.get_entity_stats_from_cache(bigint, text, text) from public;

comment on function public.get_entity_stats_from_cache(bigint, text, text) is
'Stats of one entity (entity_type character, corporation or alliance) in a period (all, 90d, 30d, 14d) from the cache, whether it is ready or not. No row: unknown entity. ISK; times in UTC.';
