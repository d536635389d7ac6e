-- What recalculation and repair have changed, cell by cell.
create table if not exists entity_stats.correction (
    "correctedAt" timestamptz not null default clock_timestamp(),
    "entityId" bigint not null,
    "entityType" text not null,
    "column" text not null,
    cached text,
    actual text,
    primary key ("correctedAt", "entityType", "entityId", "column")
);

comment on table entity_stats.correction is 'Cells that recalculation has changed.';
