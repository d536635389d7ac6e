-- Events after which the cache is wrong until it is built again. Insert only: an ingest in any isolation level can report one.
create table if not exists entity_stats.invalidation (
    at timestamptz not null default now(),
    reason text not null
);

comment on table entity_stats.invalidation is 'Why the cache stopped being ready; cleared by the next backfill.';
