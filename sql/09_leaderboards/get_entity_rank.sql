-- An entity's ranks, a row for each metric: live while all that are before it must be on the list of leaders, that is when the least
-- figure that is greater than its own is at the mark or over it; else as of the last cleanup.
create or replace function public.get_entity_rank(entity_id bigint, entity_type text, period text default 'all')
returns table (
    metric text, rank bigint, ranked bigint, movement bigint, figure numeric, "asOf" timestamptz, since timestamptz, live boolean
)
language plpgsql stable security definer -- readers have no right on the cache
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan -- planning takes longer than reading
set enable_hashjoin = off -- who is on a list is looked up: never read the cache for them
set enable_mergejoin = off
set jit = off
as $$
declare
    bit constant integer := entity_stats.period_bit(entity_type, period);
    mark entity_stats.mark;
    me entity_stats.stats;
    active boolean;
    by_kills boolean;
    by_isk boolean;
    by_efficiency boolean;
    before record;
begin
    select m.* into mark
    from entity_stats.mark as m
    where m."entityType" = entity_type and m.periods = bit and m.complete;

    select s.* into me
    from entity_stats.cached() as d
    cross join lateral entity_stats.in_scope(d, 'players') as s
    where d."entityId" = entity_id and d."entityType" = entity_type and d.periods = bit;

    active := coalesce(me.kills > 0 or me.losses > 0, false);
    by_kills := active and coalesce(me.kills + 1 >= mark.kills, false);
    by_isk := active and coalesce(me."iskDestroyed" + 0.01 >= mark.isk, false);
    by_efficiency := coalesce(me.kills >= entity_stats.efficient_kills() and me.efficiency >= mark.efficiency, false);

    select
        count(*) filter (where s.kills > me.kills) as kills,
        count(*) filter (where s."iskDestroyed" > me."iskDestroyed") as isk,
        count(*) filter (where s.kills >= entity_stats.efficient_kills() and s.efficiency > me.efficiency) as efficiency
    into before
    from entity_stats.leaders(mark.list, entity_type, bit, 'players') as s
    where by_kills or by_isk or by_efficiency;

    return query
    select
        v.metric,
        case when v.live then v.before + 1 else v.rank end,
        case when v.live then greatest(v.ranked, v.before + 1) else v.ranked end,
        case when v.live then v.rank - v.before - 1 else v."rankBefore" - v.rank end,
        case when v.live then v.figure else v."figureThen" end,
        case when v.live then now() else k."asOf" end,
        case when v.live then k."asOf" else k."asOfBefore" end,
        v.live
    from (values (get_entity_rank.entity_type, get_entity_rank.period)) as q (type, period)
    left join entity_stats.ranking as k on q.type = k."entityType" and q.period = k.period
    left join entity_stats.rank as r on q.type = r."entityType" and q.period = r.period and r."entityId" = entity_id
    cross join lateral (
        values
        (
            'kills', by_kills, before.kills, me.kills::numeric,
            k.entities::bigint, r."killsRank"::bigint, r."killsRankBefore"::bigint, r.kills::numeric
        ),
        ('isk', by_isk, before.isk, me."iskDestroyed", k.entities, r."iskRank", r."iskRankBefore", r.isk),
        (
            'efficiency', by_efficiency, before.efficiency, me.efficiency,
            k.efficient, r."efficiencyRank", r."efficiencyRankBefore", r.efficiency
        )
    ) as v (metric, live, before, figure, ranked, rank, "rankBefore", "figureThen")
    where v.live or v.rank is not null;
end
$$;

revoke execute on function public.get_entity_rank(bigint, text, text) from public;

comment on function public.get_entity_rank(bigint, text, text) is
'The ranks of an entity within its type in a period (all, 90d, 30d, 14d) and scope players, a row each by kills, isk and efficiency (of those with 10 kills or more); no row: no rank.'
' rank: 1 is the best; the same figure has the same rank, and the next one is left out (1, 2, 2, 4).'
' ranked: of how many, all with kills or losses in the period at the last cleanup.'
' figure: what it is ranked by: kills, ISK destroyed, percent.'
' live: the rank is that of this moment, as for about the best 250, else that of the last cleanup; asOf: when that was.'
' movement: places gained since the moment since: the last cleanup, or for a rank that is not live the last one of an earlier day; null: no rank then.';
