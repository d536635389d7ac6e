-- One entity in one period, from wherever the answer is right: the cache when it is ready, else the source.
create or replace function public.get_entity_stats(entity_id bigint, entity_type text, period text default 'all')
returns setof entity_stats.stats
language plpgsql stable security definer rows 1 -- readers have no right on the state
set search_path = pg_catalog, pg_temp
as $$
begin
    if
        exists (select from entity_stats.state as s where s.status = 'ready')
        and not exists (select from public.entity_stats_invalidation)
        -- What keeps the cache live, and what a restore of a ready cache creates last.
        and exists (
            select
            from pg_trigger as t
            where
                t.tgrelid = to_regclass('public.killmails')
                and t.tgname = 'trigger_update_entity_stats_on_insert'
                and t.tgenabled <> 'D'
        )
    then
        return query select s.* from public.get_entity_stats_from_cache(entity_id, entity_type, period) as s;
    else
        return query select s.* from public.get_entity_stats_from_view(entity_id, entity_type, period) as s;
    end if;
end
$$;

revoke execute on function public.get_entity_stats(bigint, text, text) from public;

comment on function public.get_entity_stats(bigint, text, text) is
'Stats of one entity (entity_type character, corporation or alliance) in a period (all, 90d, 30d, 14d): from the cache when it is ready, else from killmails. No row: unknown entity. ISK; times in UTC.';
