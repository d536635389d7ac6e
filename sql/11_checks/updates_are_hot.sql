create view entity_stats.updates_are_hot as
select
    i.indexrelid::regclass as index,
    t.n_tup_upd as updates,
    round(100.0 * t.n_tup_hot_upd / t.n_tup_upd, 1) as "hotPercent"
from pg_catalog.pg_stat_user_tables as t
inner join pg_catalog.pg_index as i on t.relid = i.indrelid
where
    t.relid = 'public.entity_stats_cache'::regclass
    and t.n_tup_upd >= 10000
    and t.n_tup_hot_upd < 0.5 * t.n_tup_upd
    and not i.indisprimary
    and i.indexrelid is distinct from to_regclass('public.entity_stats_cache_leads');

comment on view entity_stats.updates_are_hot is
'warn: No index of your own keeps the updates of the cache from being HOT, so that they touch no index: at least half of them are.

One index on a counter makes every update write to all indexes. On a quiet killboard most updates may be those that file the
leaders each night, which write an index of the cache itself: that is as it should be.

What to do: drop the index that is listed: drop index concurrently index. The figures count from the last pg_stat_reset.';
