-- Leaderboards by any metric: the list of leaders of a type and period, as far as it goes.
create or replace function entity_stats.leaders(in_list smallint, entity_type text, period_bit integer, scope text)
returns setof entity_stats.stats
language sql stable
begin atomic
    select s.*
    from public.entity_stats_cache as l
    inner join entity_stats.cached() as c on l."entityId" = c."entityId" and l."entityType" = c."entityType"
    cross join lateral entity_stats.in_scope(c, leaders.scope) as s
    where
        l."entityType" = leaders.entity_type
        and l.leads <> 0 -- what its index has
        and l.leads & leaders.in_list <> 0
        and c.periods = leaders.period_bit;
end;

comment on function entity_stats.leaders(smallint, text, integer, text) is
'The live figures of who is on a list, in its period and a scope. Inlined into the calling query.';

create or replace function public.get_top_entities_from_cache(
    entity_type text,
    period text default 'all',
    metric text default 'kills',
    scope text default 'players',
    max_entities integer default 10,
    min_kills bigint default null
)
returns setof entity_stats.stats
language plpgsql stable security definer -- readers have no right on the cache
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan -- planning takes longer than reading
set enable_hashjoin = off -- who is on a list is looked up: never read the cache for them
set enable_mergejoin = off
set jit = off
as $$
declare
    bit constant integer := entity_stats.period_bit(entity_type, period);
    enough constant bigint := greatest(coalesce(min_kills, case metric when 'efficiency' then entity_stats.efficient_kills() end), 1);
    mark entity_stats.mark;
    everybody boolean;
    least numeric;
    best entity_stats.stats [];
    last_one entity_stats.stats;
begin
    if metric is null or metric not in ('kills', 'isk', 'efficiency', 'solo') then
        raise exception 'unknown metric: %', coalesce(metric, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Metrics are kills, isk, efficiency and solo.';
    elsif scope is null or scope not in ('players', 'all') then
        raise exception 'unknown scope: %', coalesce(scope, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Scopes are players and all.';
    end if;

    select m.* into mark
    from entity_stats.mark as m
    where m."entityType" = entity_type and m.periods = bit and m.complete;

    if found then
        -- Whoever is not on the list is below every mark; but all that have enough kills are on it, if those are as many as the mark's.
        everybody := mark.kills <= enough;
        least := case
            when everybody then 0 when metric = 'kills' then mark.kills when metric = 'isk' then mark.isk
            when metric = 'solo' then mark.solo else mark.efficiency
        end;

        select array_agg(b.stats order by b.figure desc, (b.stats).kills desc, (b.stats)."entityId")
        into best
        from (
            select s as stats, f.figure
            from entity_stats.leaders(mark.list, entity_type, bit, scope) as s
            cross join lateral entity_stats.figure(s, metric) as f
            where f.figure >= least and s.kills >= enough and (f.figure > 0 or metric = 'efficiency')
            order by f.figure desc, s.kills desc, s."entityId"
            limit max_entities
        ) as b;
        last_one := best[max_entities];

        -- They are enough, or there is nobody else. By efficiency others may have fewer kills than the list asks for.
        if
            (everybody or cardinality(best) >= max_entities or least <= case metric when 'isk' then 0.01 when 'efficiency' then 0 else 1 end)
            and (
                everybody or metric <> 'efficiency' or mark."efficientKills" <= enough
                or (last_one.efficiency = 100 and last_one.kills >= mark."efficientKills")
            )
        then
            return query select b.* from unnest(best) as b;
            return;
        end if;
    end if;

    return query
    select s.*
    from entity_stats.cached() as d
    cross join lateral entity_stats.in_scope(d, scope) as s
    cross join lateral entity_stats.figure(s, metric) as f
    where d."entityType" = entity_type and d.periods = bit and s.kills >= enough and (f.figure > 0 or metric = 'efficiency')
    order by f.figure desc, s.kills desc, s."entityId"
    limit max_entities;
end
$$;

revoke execute on function public.get_top_entities_from_cache(text, text, text, text, integer, bigint) from public;

comment on function public.get_top_entities_from_cache(text, text, text, text, integer, bigint) is
'The best entities of a type in a period (all, 90d, 30d, 14d) by metric: kills, isk (destroyed), efficiency, solo (kills); ties by kills, then id; at most max_entities, of those with min_kills kills or more (null: 10 by efficiency, else 1).'
' Scope players leaves out NPC corporations (ids 1,000,000 to 1,999,999) and kills without a player among the attackers: kills and killLossRatio are without them, npcKills says how many they were.'
' Their ISK is not known to the cache: it is part of iskDestroyed and efficiency, unless an entity has no other kills. Losses are all losses.'
' Scope all is everybody, with what get_entity_stats() says.'
' Exact at every moment; fast up to about 200 entities, a longer list reads the whole cache.';
