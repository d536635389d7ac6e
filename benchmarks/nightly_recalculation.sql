-- Baseline of the nightly cleanup: the specification's job, which recalculates the windows of every entity that was active in the
-- last 90 days, in batches. One pass per batch for all three windows, and entities that dropped out of a window are set to
-- zero: the best case for it. Needs four_phases.sql.
create or replace function baseline.recalculate(of_type text, ids bigint[], as_of timestamptz)
returns void
language sql
as $$
    update baseline.entity_stats_cache as c
    set
        "kills90d" = coalesce(a."kills90d", 0),
        "losses90d" = coalesce(a."losses90d", 0),
        "iskDestroyed90d" = coalesce(a."iskDestroyed90d", 0),
        "iskLost90d" = coalesce(a."iskLost90d", 0),
        "soloKills90d" = coalesce(a."soloKills90d", 0),
        "soloLosses90d" = coalesce(a."soloLosses90d", 0),
        "npcKills90d" = coalesce(a."npcKills90d", 0),
        "npcLosses90d" = coalesce(a."npcLosses90d", 0),
        "kills30d" = coalesce(a."kills30d", 0),
        "losses30d" = coalesce(a."losses30d", 0),
        "iskDestroyed30d" = coalesce(a."iskDestroyed30d", 0),
        "iskLost30d" = coalesce(a."iskLost30d", 0),
        "soloKills30d" = coalesce(a."soloKills30d", 0),
        "soloLosses30d" = coalesce(a."soloLosses30d", 0),
        "npcKills30d" = coalesce(a."npcKills30d", 0),
        "npcLosses30d" = coalesce(a."npcLosses30d", 0),
        "kills14d" = coalesce(a."kills14d", 0),
        "losses14d" = coalesce(a."losses14d", 0),
        "iskDestroyed14d" = coalesce(a."iskDestroyed14d", 0),
        "iskLost14d" = coalesce(a."iskLost14d", 0),
        "soloKills14d" = coalesce(a."soloKills14d", 0),
        "soloLosses14d" = coalesce(a."soloLosses14d", 0),
        "npcKills14d" = coalesce(a."npcKills14d", 0),
        "npcLosses14d" = coalesce(a."npcLosses14d", 0)
    from unnest(ids) as i (id)
    left join (
        select
            p."entityId",
            count(*) filter (where p.attacker) as "kills90d",
            count(*) filter (where not p.attacker) as "losses90d",
            sum(p."totalValue") filter (where p.attacker) as "iskDestroyed90d",
            sum(p."totalValue") filter (where not p.attacker) as "iskLost90d",
            count(*) filter (where p.attacker and p.solo) as "soloKills90d",
            count(*) filter (where not p.attacker and p.solo) as "soloLosses90d",
            count(*) filter (where p.attacker and p.npc) as "npcKills90d",
            count(*) filter (where not p.attacker and p.npc) as "npcLosses90d",
            count(*) filter (where p.attacker and t.in_30) as "kills30d",
            count(*) filter (where not p.attacker and t.in_30) as "losses30d",
            sum(p."totalValue") filter (where p.attacker and t.in_30) as "iskDestroyed30d",
            sum(p."totalValue") filter (where not p.attacker and t.in_30) as "iskLost30d",
            count(*) filter (where p.attacker and p.solo and t.in_30) as "soloKills30d",
            count(*) filter (where not p.attacker and p.solo and t.in_30) as "soloLosses30d",
            count(*) filter (where p.attacker and p.npc and t.in_30) as "npcKills30d",
            count(*) filter (where not p.attacker and p.npc and t.in_30) as "npcLosses30d",
            count(*) filter (where p.attacker and t.in_14) as "kills14d",
            count(*) filter (where not p.attacker and t.in_14) as "losses14d",
            sum(p."totalValue") filter (where p.attacker and t.in_14) as "iskDestroyed14d",
            sum(p."totalValue") filter (where not p.attacker and t.in_14) as "iskLost14d",
            count(*) filter (where p.attacker and p.solo and t.in_14) as "soloKills14d",
            count(*) filter (where not p.attacker and p.solo and t.in_14) as "soloLosses14d",
            count(*) filter (where p.attacker and p.npc and t.in_14) as "npcKills14d",
            count(*) filter (where not p.attacker and p.npc and t.in_14) as "npcLosses14d"
        from baseline.party as p
        cross join lateral (
            select
                p."killmailTime" >= as_of - interval '30 days' as in_30,
                p."killmailTime" >= as_of - interval '14 days' as in_14
        ) as t
        where
            p."entityType" = of_type
            and p."entityId" = any(ids)
            and p."killmailTime" >= as_of - interval '90 days'
        group by p."entityId"
    ) as a on i.id = a."entityId"
    where c."entityType" = of_type and c."entityId" = i.id
$$;

comment on function baseline.recalculate(text, bigint[], timestamptz) is
'Recalculates the windows of a batch of entities of one type, as of a time.';

create or replace function baseline.batches(as_of timestamptz, size integer)
returns table (of_type text, ids bigint[])
language sql stable
as $$
    select b."entityType", array_agg(b."entityId")
    from (
        select
            c."entityType", c."entityId",
            (row_number() over (partition by c."entityType" order by c."entityId") - 1) / size as batch
        from baseline.entity_stats_cache as c
        where greatest(c."lastKillTime", c."lastLossTime") >= (as_of - interval '90 days') at time zone 'UTC'
    ) as b
    group by b."entityType", b.batch
$$;

comment on function baseline.batches(timestamptz, integer) is 'The entities that were active in the last 90 days, by type, in batches.';
