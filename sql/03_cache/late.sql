-- What folds have added to the cache of days that the history has closed already, or is closing: late arrivals, new prices, deletions. One
-- insert of the fold, in its transaction; apply_late() adds them to the history.
create table if not exists entity_stats.late (
    part bigint primary key generated always as identity,
    "entityType" text collate "C" not null,
    "entityId" bigint not null,
    day date not null,
    kills integer not null,
    losses integer not null,
    "iskDestroyed" numeric not null,
    "iskLost" numeric not null,
    "soloKills" integer not null,
    "soloLosses" integer not null,
    "npcKills" integer not null,
    "npcLosses" integer not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

do $$
begin
    if to_regclass('entity_stats.late_entity') is null then -- IF NOT EXISTS would lock out folds, whether it exists or not
        create index late_entity on entity_stats.late ("entityId", "entityType");
    end if;
end
$$;

comment on table entity_stats.late is 'What facts that were folded after their day was closed add to it, a row per killmail and party: the history does not contain it yet.';
comment on column entity_stats.late.day is 'Day of the killmail, UTC.';
