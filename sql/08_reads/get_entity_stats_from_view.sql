-- One entity in one period, straight from killmails: the answer while there is no cache.
create or replace function public.get_entity_stats_from_view(entity_id bigint, entity_type text, period text default 'all')
returns setof entity_stats.stats
language plpgsql stable security definer rows 1 -- readers have no right on killmails
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_custom_plan -- with the type in the plan, two indexes of killmails answer
as $$
declare
    bit constant integer := entity_stats.period_bit(entity_type, period);
begin
    return query
    select s.*
    from (
        select
            t."entityType",
            t."entityId",
            bit as periods,
            coalesce(sum(t.kills) filter (where t.periods = bit), 0)::bigint as kills,
            coalesce(sum(t.losses) filter (where t.periods = bit), 0)::bigint as losses,
            coalesce(sum(t."iskDestroyed") filter (where t.periods = bit), 0) as "iskDestroyed",
            coalesce(sum(t."iskLost") filter (where t.periods = bit), 0) as "iskLost",
            coalesce(sum(t."soloKills") filter (where t.periods = bit), 0)::bigint as "soloKills",
            coalesce(sum(t."soloLosses") filter (where t.periods = bit), 0)::bigint as "soloLosses",
            coalesce(sum(t."npcKills") filter (where t.periods = bit), 0)::bigint as "npcKills",
            coalesce(sum(t."npcLosses") filter (where t.periods = bit), 0)::bigint as "npcLosses",
            max(t."lastKillTime") as "lastKillTime",
            max(t."lastLossTime") as "lastLossTime",
            null::timestamp as "staleKillTime",
            null::timestamp as "staleLossTime"
        from entity_stats.truth() as t
        where t."entityId" = entity_id and t."entityType" = entity_type and t.periods in (1, bit)
        group by t."entityType", t."entityId"
    ) as d
    cross join lateral entity_stats.stats(row(d.*)::entity_stats.delta) as s;
end
$$;

revoke execute on function public.get_entity_stats_from_view(bigint, text, text) from public;

comment on function public.get_entity_stats_from_view(bigint, text, text) is
'Stats of one entity in a period straight from killmails, with the cutoffs of the cache: the same figures, slower. No row: unknown entity. ISK; times in UTC.';
