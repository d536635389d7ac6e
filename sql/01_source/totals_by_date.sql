-- Killmails of a time range -> totals per entity and UTC day or month: what a row of the history must amount to. The same aggregate
-- as totals(), by date.
create or replace function entity_stats.totals_by_date(granularity text, from_time timestamptz, to_time timestamptz)
returns table (
    "entityType" text,
    "entityId" bigint,
    date date,
    kills bigint,
    losses bigint,
    "iskDestroyed" numeric,
    "iskLost" numeric,
    "soloKills" bigint,
    "soloLosses" bigint,
    "npcKills" bigint,
    "npcLosses" bigint
)
language sql stable parallel safe
begin atomic
    select
        p."entityType",
        p."entityId",
        date_trunc(granularity, p."killmailTime" at time zone 'UTC')::date as date,
        count(*) filter (where p.attacker) as kills,
        count(*) filter (where not p.attacker) as losses,
        coalesce(sum(p.cents) filter (where p.attacker), 0) * 0.01
        + coalesce(sum(p.isk) filter (where p.attacker and p.isk is not null), 0) as "iskDestroyed",
        coalesce(sum(p.cents) filter (where not p.attacker), 0) * 0.01
        + coalesce(sum(p.isk) filter (where not p.attacker and p.isk is not null), 0) as "iskLost",
        count(*) filter (where p.attacker and p.solo) as "soloKills",
        count(*) filter (where not p.attacker and p.solo) as "soloLosses",
        count(*) filter (where p.attacker and p.npc) as "npcKills",
        count(*) filter (where not p.attacker and p.npc) as "npcLosses"
    from entity_stats.killmail_party() as p
    where p."killmailTime" >= from_time and (to_time is null or p."killmailTime" < to_time)
    group by p."entityType", p."entityId", date_trunc(granularity, p."killmailTime" at time zone 'UTC')::date;
end;

comment on function entity_stats.totals_by_date(text, timestamptz, timestamptz) is
'Exact totals per entity and day or month (granularity; UTC, its first day) of the killmails with from_time <= "killmailTime" < to_time (null: no upper end); ISK. Inlined into the calling query.';
