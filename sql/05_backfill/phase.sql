-- What a running build has done so far. A phase is one period of one entity type. In a first build a slice is a part of its
-- entities, so that two cores and their memory share the most numerous type; in a rebuild it is a range of killmail times small
-- enough that its snapshot stays short. A slice is done when it has a snapshot: the one that its totals were read with.
create table if not exists entity_stats.phase (
    period text collate "C" not null,
    "entityType" text collate "C" not null,
    slice integer not null,
    "fromTime" timestamptz not null,
    "toTime" timestamptz,
    snapshot pg_snapshot,
    entities bigint,
    "finishedAt" timestamptz,
    parts integer not null default 1,
    "begunAt" timestamptz,
    primary key (period, "entityType", slice)
);

create table if not exists entity_stats.staged (like entity_stats.delta);

comment on table entity_stats.phase is 'Slices of the running or last build.';
comment on column entity_stats.phase."toTime" is 'First time after the slice; null: no end.';
comment on column entity_stats.phase.parts is 'In how many parts the entities are divided, of which the slice is one; 1: it has them all.';
comment on column entity_stats.phase."begunAt" is 'When somebody last began to build the slice.';
comment on column entity_stats.phase.snapshot is 'What the slice has seen of killmails; facts it has not seen are added at the finish.';
comment on column entity_stats.phase.entities is 'Entities that have killmails in the slice.';
comment on table entity_stats.staged is 'What a build has gathered beside the cache, to be summed per entity: the slices of a rebuild, and facts that no slice has seen. Append only.';
