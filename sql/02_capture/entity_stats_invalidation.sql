-- Events after which the cache is wrong until it is built again. Insert only: an ingest in any isolation level can report one.
-- Outside schema entity_stats: while somebody drops that, and may yet roll back, everything in it is locked.
create table if not exists public.entity_stats_invalidation (
    at timestamptz not null default now(),
    reason text not null
);

comment on table public.entity_stats_invalidation is 'Why the cache stopped being ready; cleared by the next backfill.';
