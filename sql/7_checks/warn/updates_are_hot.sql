-- At least half of the updates of the cache are HOT: they touch no index.
--
-- One index on a counter makes every update write to all indexes.
--
-- What to do: drop indexes of your own on public.entity_stats_cache. If there are none, pages are too full for another version of
-- a row: see dead_rows_are_few. The figures count from the last pg_stat_reset.
select
    t.relid::regclass as "table",
    t.n_tup_upd as updates,
    round(100.0 * t.n_tup_hot_upd / t.n_tup_upd, 1) as "hotPercent"
from pg_catalog.pg_stat_user_tables as t
where
    t.relid = 'public.entity_stats_cache'::regclass
    and t.n_tup_upd >= 10000
    and t.n_tup_hot_upd < 0.5 * t.n_tup_upd;
