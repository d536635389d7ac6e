-- What the figures of one entity in one period are made of, in one snapshot: cached + pending = counted.
create or replace function public.explain_entity_stats(entity_id bigint, entity_type text, period text default 'all')
returns table (
    figure text,
    cached numeric,
    pending numeric,
    counted numeric,
    cutoff timestamptz,
    claim text,
    run bigint,
    "checkedAt" timestamptz,
    wrong text,
    "correctedAt" timestamptz
)
language plpgsql stable security definer rows 8 -- readers have no right on any of it
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_custom_plan -- with the type in the plan, two indexes of killmails answer
as $$
declare
    bit constant integer := entity_stats.period_bit(entity_type, period);
    since constant timestamptz := (select w.cutoff from entity_stats.time_window as w where w.period = explain_entity_stats.period);
begin
    return query
    select
        f.figure,
        coalesce(f.cached, 0) as cached,
        coalesce(f.pending, 0) as pending,
        coalesce(f.counted, 0) as counted,
        nullif(since, '-infinity') as cutoff,
        v.claim,
        v.run,
        v."checkedAt",
        v.wrong,
        (
            select max(r."correctedAt")
            from entity_stats.correction as r
            where
                r."entityId" = entity_id
                and r."entityType" = entity_type
                and r."column" = f.figure || case when period = 'all' then 'All' else period end
        ) as "correctedAt"
    from (values (true)) as one (single)
    left join
        (
            select d.*
            from entity_stats.cached() as d
            where d."entityId" = entity_id and d."entityType" = entity_type and d.periods = bit
        ) as c on true
    left join
        (
            select
                sum(d.kills) as kills, sum(d.losses) as losses, sum(d."iskDestroyed") as "iskDestroyed", sum(d."iskLost") as "iskLost",
                sum(d."soloKills") as "soloKills", sum(d."soloLosses") as "soloLosses", sum(d."npcKills") as "npcKills", sum(d."npcLosses") as "npcLosses"
            from entity_stats.pending_facts() as w
            cross join lateral entity_stats.parties(w.facts) as d
            where d."entityId" = entity_id and d."entityType" = entity_type and d."killmailTime" >= since
        ) as p on true
    left join
        (
            select d.*
            from entity_stats.totals(since, null) as d
            where d."entityId" = entity_id and d."entityType" = entity_type
        ) as t on true
    left join
        (
            select
                k.claim,
                k.run,
                k."checkedAt",
                coalesce(
                    (
                        select max(o.entity ->> 'wrong')
                        from jsonb_array_elements(k.sample) as o (entity)
                        where (o.entity ->> 'entityId')::bigint = entity_id
                    ),
                    case when k.offending > jsonb_array_length(k.sample) then 'not known: more entities were wrong than are kept' end
                ) as wrong
            from entity_stats.verification() as k
            where k.claim = entity_type || 's_are_exact'
        ) as v on true
    cross join lateral (
        values
        ('kills', c.kills::numeric, p.kills::numeric, t.kills::numeric),
        ('losses', c.losses, p.losses, t.losses),
        ('iskDestroyed', c."iskDestroyed", p."iskDestroyed", t."iskDestroyed"),
        ('iskLost', c."iskLost", p."iskLost", t."iskLost"),
        ('soloKills', c."soloKills", p."soloKills", t."soloKills"),
        ('soloLosses', c."soloLosses", p."soloLosses", t."soloLosses"),
        ('npcKills', c."npcKills", p."npcKills", t."npcKills"),
        ('npcLosses', c."npcLosses", p."npcLosses", t."npcLosses")
    ) as f (figure, cached, pending, counted)
    where one.single and coalesce(c.kills, p.kills, t.kills) is not null; -- else an unknown entity
end
$$;

revoke execute on function public.explain_entity_stats(bigint, text, text) from public;

comment on function public.explain_entity_stats(bigint, text, text) is
'What makes up the figures of one entity (entity_type character, corporation or alliance) in a period (all, 90d, 30d, 14d): a row for each figure, by '
'its name in get_entity_stats(), with what the cache holds, what is pending (signed; any kind of change that no fold has applied yet), and what '
'killmails at or after cutoff (null: all) amount to. cached + pending = counted while the cache is ready; before that get_entity_stats() answers what '
'is counted. Then the claim that last compared all entities of the type, its run, when, and what was wrong with this entity (null: nothing), and when a '
'recalculation last corrected the figure. The killmails themselves: get_counted_killmails(). Reads all of the entity''s killmails in the period. No '
'row: unknown entity. ISK; times with time zone.';
