-- Killmails of a time range -> totals per entity and side, for whole slices of the source. The same numbers as totals(), which
-- answers for single entities, in half the time: no aggregate has to ask for the side.
create or replace function entity_stats.totals_by_role(entity_type text, from_time timestamptz, to_time timestamptz)
returns table (
    "entityId" bigint,
    attacker boolean,
    killmails bigint,
    isk numeric,
    solo bigint,
    npc bigint,
    "lastTime" timestamp
)
language sql stable
begin atomic
    select
        p."entityId",
        p.attacker,
        count(*) as killmails,
        coalesce(sum(p.cents), 0) * 0.01 + coalesce(sum(p.isk) filter (where p.isk is not null), 0) as isk,
        count(*) filter (where p.solo) as solo,
        count(*) filter (where p.npc) as npc,
        max(p."killmailTime") at time zone 'UTC' as "lastTime"
    from entity_stats.killmail_party() as p
    where p."entityType" = entity_type and p."killmailTime" >= from_time and (to_time is null or p."killmailTime" < to_time)
    group by p."entityId", p.attacker;
end;

comment on function entity_stats.totals_by_role(text, timestamptz, timestamptz) is
'Exact totals per entity of one type and side of the killmails with from_time <= "killmailTime" < to_time (null: no upper end); ISK, times in UTC.';
