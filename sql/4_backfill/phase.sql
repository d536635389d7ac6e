-- What a running build has done so far. A phase is one period of one entity type; a slice is a range of killmail times small
-- enough that its snapshot stays short. A slice is done when it has a snapshot: the one its rows in the staging were read with.
create table if not exists entity_stats.phase (
    period text collate "C" not null,
    "entityType" text collate "C" not null,
    slice integer not null,
    "fromTime" timestamptz not null,
    "toTime" timestamptz,
    snapshot pg_snapshot,
    entities bigint,
    "finishedAt" timestamptz,
    primary key (period, "entityType", slice)
);

create table if not exists entity_stats.staged (like entity_stats.delta);

comment on table entity_stats.phase is 'Slices of the running or last build.';
comment on column entity_stats.phase."toTime" is 'First time after the slice; null: no end.';
comment on column entity_stats.phase.snapshot is 'What the slice has seen of killmails; facts it has not seen are added at the finish.';
comment on column entity_stats.phase.entities is 'Totals staged by the slice: an entity has one per side.';
comment on table entity_stats.staged is 'The truth that a build has gathered, to be summed per entity: append only.';
