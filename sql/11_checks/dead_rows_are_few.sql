create view entity_stats.dead_rows_are_few as
select
    t.relid::regclass as "table",
    t.n_live_tup as live,
    t.n_dead_tup as dead,
    t.last_autovacuum
from pg_catalog.pg_stat_user_tables as t
where
    t.relid in ('public.entity_stats_cache'::regclass, 'entity_stats.ledger'::regclass)
    and t.n_dead_tup > 100000 + 0.2 * t.n_live_tup;

comment on view entity_stats.dead_rows_are_few is
'warn: Autovacuum keeps up: at most a fifth of the cache''s rows are dead, and few of the ledger''s.

What to do: look for an old snapshot that keeps them: of a long transaction
(select pid, query from pg_stat_activity where backend_xmin is not null order by age(backend_xmin) desc), of a replication slot
(select slot_name from pg_replication_slots order by age(xmin) desc nulls last) or of a prepared transaction
(select gid from pg_prepared_xacts order by prepared). If there is none, let autovacuum work on the table more often:
alter table public.entity_stats_cache set (autovacuum_vacuum_scale_factor = 0.05).';
