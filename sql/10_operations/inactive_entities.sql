-- What could be archived: in a killboard of some years, most. They cost space only: no cleanup and no commit looks at them.
create or replace function entity_stats.inactive_entities(days integer default 180)
returns table ("entityType" text, inactive bigint)
language sql stable
begin atomic
    select
        c."entityType",
        count(*) as inactive
    from public.entity_stats_cache as c
    where coalesce(greatest(c."lastKillTime", c."lastLossTime"), '-infinity') < now() at time zone 'UTC' - days * interval '24 hours'
    group by c."entityType";
end;

comment on function entity_stats.inactive_entities(integer) is
'Entities per type without a kill or loss in that many days; for one with only kills, or only losses, these decide.';
