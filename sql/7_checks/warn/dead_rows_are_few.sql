-- Autovacuum keeps up: at most a fifth of the cache's rows are dead, and few of the ledger's.
--
-- What to do: look for an old snapshot that keeps them (a long transaction in pg_stat_activity, a replication slot, a prepared
-- transaction). If there is none, let autovacuum work on the table more often:
-- alter table public.entity_stats_cache set (autovacuum_vacuum_scale_factor = 0.05).
select
    t.relid::regclass as "table",
    t.n_live_tup as live,
    t.n_dead_tup as dead,
    t.last_autovacuum
from pg_catalog.pg_stat_user_tables as t
where
    t.relid in ('public.entity_stats_cache'::regclass, 'entity_stats.ledger'::regclass)
    and t.n_dead_tup > 100000 + 0.2 * t.n_live_tup;
