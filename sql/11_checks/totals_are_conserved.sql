create view entity_stats.totals_are_conserved as
select
    d."entityType",
    w.period,
    sum(d.sign * d.kills) as kills,
    sum(d.sign * d.losses) as losses,
    sum(d.sign * d."iskDestroyed") as "iskDestroyed",
    sum(d.sign * d."iskLost") as "iskLost",
    sum(d.sign * d."soloKills") as "soloKills",
    sum(d.sign * d."soloLosses") as "soloLosses",
    sum(d.sign * d."npcKills") as "npcKills",
    sum(d.sign * d."npcLosses") as "npcLosses"
from (
    select
        1 as sign,
        r."entityType",
        r.periods,
        count(*) filter (where r.attacker) as kills,
        count(*) filter (where not r.attacker) as losses,
        coalesce(sum(r.isk) filter (where r.attacker), 0) as "iskDestroyed",
        coalesce(sum(r.isk) filter (where not r.attacker), 0) as "iskLost",
        count(*) filter (where r.attacker and r.solo) as "soloKills",
        count(*) filter (where not r.attacker and r.solo) as "soloLosses",
        count(*) filter (where r.attacker and r.npc) as "npcKills",
        count(*) filter (where not r.attacker and r.npc) as "npcLosses"
    from (
        select
            p."entityType",
            p.attacker,
            k.isk,
            k.solo,
            k.npc,
            1
            + case when k."killmailTime" >= (select v.cutoff from entity_stats.time_window as v where v.bit = 2) then 2 else 0 end
            + case when k."killmailTime" >= (select v.cutoff from entity_stats.time_window as v where v.bit = 4) then 4 else 0 end
            + case when k."killmailTime" >= (select v.cutoff from entity_stats.time_window as v where v.bit = 8) then 8 else 0 end as periods
        from entity_stats.killmail() as k
        cross join
            lateral (
                values
                ('character', true, k."topAttackerCharacterId"),
                ('character', false, k."victimCharacterId"),
                ('corporation', true, k."topAttackerCorporationId"),
                ('corporation', false, k."victimCorporationId"),
                ('alliance', true, k."topAttackerAllianceId"),
                ('alliance', false, k."victimAllianceId")
            ) as p ("entityType", attacker, id)
        where p.id <> 0
    ) as r
    group by r."entityType", r.periods
    union all
    select
        -1 as sign, c."entityType", c.periods, c.kills, c.losses, c."iskDestroyed", c."iskLost",
        c."soloKills", c."soloLosses", c."npcKills", c."npcLosses"
    from entity_stats.cached() as c
    union all
    select
        -1 as sign, p."entityType", p.periods, p.kills, p.losses, p."iskDestroyed", p."iskLost",
        p."soloKills", p."soloLosses", p."npcKills", p."npcLosses"
    from entity_stats.pending(false) as p
) as d
inner join entity_stats.time_window as w on d.periods & w.bit <> 0
where public.is_stats_cache_populated()
group by d."entityType", w.period
having
    (
        sum(d.sign * d.kills), sum(d.sign * d.losses), sum(d.sign * d."iskDestroyed"), sum(d.sign * d."iskLost"),
        sum(d.sign * d."soloKills"), sum(d.sign * d."soloLosses"), sum(d.sign * d."npcKills"), sum(d.sign * d."npcLosses")
    ) <> (0, 0, 0, 0, 0, 0, 0, 0);

comment on view entity_stats.totals_are_conserved is
'full: No killmail is lost or counted twice: in every period, the sums over all characters, over all corporations and over all
alliances equal those of killmails, for victims and for top attackers, in number, ISK, solo and NPC. Pending facts are taken
into account.

The rows show what is missing in the cache (negative: what is too much), summed over all entities of a type. The nightly checks
compare less than all killmails: every entity in every window, and a sample of all time.

What to do: the claims about exactness name the entities; call entity_stats.backfill(rebuild => true) repairs all. If only "all"
differs, a partition with killmails older than 90 days was dropped or attached.';
