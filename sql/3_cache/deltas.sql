-- Facts of the ledger -> deltas, one per party of each killmail, with the periods that the current cutoffs give it.
create or replace function entity_stats.deltas(facts entity_stats.ledger[])
returns setof entity_stats.delta
language sql stable
begin atomic
    select
        p."entityType",
        p."entityId",
        f.periods,
        case when p.attacker then f.weight else 0 end::bigint as kills,
        case when p.attacker then 0 else f.weight end::bigint as losses,
        case when p.attacker then f.isk else 0 end as "iskDestroyed",
        case when p.attacker then 0 else f.isk end as "iskLost",
        case when p.attacker and f.solo then f.weight else 0 end::bigint as "soloKills",
        case when not p.attacker and f.solo then f.weight else 0 end::bigint as "soloLosses",
        case when p.attacker and f.npc then f.weight else 0 end::bigint as "npcKills",
        case when not p.attacker and f.npc then f.weight else 0 end::bigint as "npcLosses",
        case when p.attacker and f.weight > 0 then f."killmailTime" at time zone 'UTC' end as "lastKillTime",
        case when not p.attacker and f.weight > 0 then f."killmailTime" at time zone 'UTC' end as "lastLossTime",
        case when p.attacker and f.weight < 0 then f."killmailTime" at time zone 'UTC' end as "staleKillTime",
        case when not p.attacker and f.weight < 0 then f."killmailTime" at time zone 'UTC' end as "staleLossTime"
    from (
        select
            u.*,
            (select bit_or(w.bit) from entity_stats.time_window as w where u."killmailTime" >= w.cutoff)::integer as periods
        from unnest(deltas.facts) as u
        offset 0 -- keeps the look-up at one per fact, and lets it go where nobody asks for the periods
    ) as f
    cross join
        lateral (
        values
            ('character', f."topAttackerCharacterId", true),
            ('character', f."victimCharacterId", false),
            ('corporation', f."topAttackerCorporationId", true),
            ('corporation', f."victimCorporationId", false),
            ('alliance', f."topAttackerAllianceId", true),
            ('alliance', f."victimAllianceId", false)
        ) as p ("entityType", "entityId", attacker)
    where p."entityId" <> 0;
end;

comment on function entity_stats.deltas(entity_stats.ledger[]) is
'What facts of the ledger add to the cache under the current cutoffs. The mirror of killmail_party() for captured killmails.';
