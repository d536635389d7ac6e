-- The history for plain SQL. Filter by "entityId" and "entityType": what is not closed is counted from killmails.
do $$
begin
    if to_regclass('public.entity_months') is null then
        create view public.entity_months as
        select
            f."entityId",
            f."entityType",
            f.date as month,
            sum(f.kills)::bigint as kills,
            sum(f.losses)::bigint as losses,
            sum(f."iskDestroyed") as "iskDestroyed",
            sum(f."iskLost") as "iskLost",
            sum(f."soloKills")::bigint as "soloKills",
            sum(f."soloLosses")::bigint as "soloLosses",
            sum(f."npcKills")::bigint as "npcKills",
            sum(f."npcLosses")::bigint as "npcLosses"
        from (
            select
                m."entityId", m."entityType", m.month as date, m.kills, m.losses, m."iskDestroyed", m."iskLost",
                m."soloKills", m."soloLosses", m."npcKills", m."npcLosses"
            from entity_stats.month as m
            where m.month < (select entity_stats.closed_to())
            union all
            select
                l."entityId", l."entityType", date_trunc('month', l.day::timestamp)::date, l.kills, l.losses, l."iskDestroyed", l."iskLost",
                l."soloKills", l."soloLosses", l."npcKills", l."npcLosses"
            from entity_stats.late as l
            where l.day < (select entity_stats.closed_to())
            union all
            select
                p."entityId", p."entityType", date_trunc('month', p."killmailTime" at time zone 'UTC')::date, p.kills, p.losses,
                p."iskDestroyed", p."iskLost", p."soloKills", p."soloLosses", p."npcKills", p."npcLosses"
            from (
                select l.facts from entity_stats.ledger as l where not l.folded
                union all
                select array[a.fact] from entity_stats.facts_aside() as a
            ) as q
            cross join lateral entity_stats.parties(q.facts) as p
            where p."killmailTime" < (select entity_stats.midnight(entity_stats.closed_to()))
            union all
            select
                t."entityId", t."entityType", t.date, t.kills, t.losses, t."iskDestroyed", t."iskLost",
                t."soloKills", t."soloLosses", t."npcKills", t."npcLosses"
            from entity_stats.totals_by_date('month', (select entity_stats.midnight(entity_stats.closed_to())), null) as t
        ) as f
        group by f."entityId", f."entityType", f.date
        having sum(f.kills) <> 0 or sum(f.losses) <> 0;

        create view public.entity_days as
        select
            f."entityId",
            f."entityType",
            f.date as day,
            sum(f.kills)::bigint as kills,
            sum(f.losses)::bigint as losses,
            sum(f."iskDestroyed") as "iskDestroyed",
            sum(f."iskLost") as "iskLost",
            sum(f."soloKills")::bigint as "soloKills",
            sum(f."soloLosses")::bigint as "soloLosses",
            sum(f."npcKills")::bigint as "npcKills",
            sum(f."npcLosses")::bigint as "npcLosses"
        from (
            select
                d."entityId", d."entityType", d.day as date, d.kills, d.losses, d."iskDestroyed", d."iskLost",
                d."soloKills", d."soloLosses", d."npcKills", d."npcLosses"
            from entity_stats.day as d
            where d.day < (select entity_stats.closed_to())
            union all
            select
                l."entityId", l."entityType", l.day, l.kills, l.losses, l."iskDestroyed", l."iskLost",
                l."soloKills", l."soloLosses", l."npcKills", l."npcLosses"
            from entity_stats.late as l
            where l.day < (select entity_stats.closed_to())
            union all
            select
                p."entityId", p."entityType", (p."killmailTime" at time zone 'UTC')::date, p.kills, p.losses,
                p."iskDestroyed", p."iskLost", p."soloKills", p."soloLosses", p."npcKills", p."npcLosses"
            from (
                select l.facts from entity_stats.ledger as l where not l.folded
                union all
                select array[a.fact] from entity_stats.facts_aside() as a
            ) as q
            cross join lateral entity_stats.parties(q.facts) as p
            where p."killmailTime" < (select entity_stats.midnight(entity_stats.closed_to()))
            union all
            select
                t."entityId", t."entityType", t.date, t.kills, t.losses, t."iskDestroyed", t."iskLost",
                t."soloKills", t."soloLosses", t."npcKills", t."npcLosses"
            from entity_stats.totals_by_date('day', (select entity_stats.midnight(entity_stats.closed_to())), null) as t
        ) as f
        where f.date >= (select h."daysFrom" from entity_stats.history as h where isfinite(entity_stats.closed_to()))
            or not isfinite(entity_stats.closed_to())
        group by f."entityId", f."entityType", f.date
        having sum(f.kills) <> 0 or sum(f.losses) <> 0;
    end if;
end
$$;

comment on view public.entity_months is 'Figures per entity and UTC month, exact as of now; ISK. Filter by "entityId" and "entityType".';
comment on view public.entity_days is 'Figures per entity and UTC day, of the days that are kept, exact as of now; ISK. Filter by "entityId" and "entityType".';
