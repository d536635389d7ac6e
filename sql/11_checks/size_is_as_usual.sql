create view entity_stats.size_is_as_usual as
select
    pg_size_pretty(n.bytes) as now,
    pg_size_pretty(h.bytes::bigint) as median,
    h.runs
from (
    select
        percentile_cont(0.5) within group (order by r."sizeBytes") as bytes,
        count(*) as runs
    from entity_stats.run as r
    where r."startedAt" > now() - interval '30 days' and r."sizeBytes" is not null
) as h
cross join (select pg_total_relation_size('public.entity_stats_cache') as bytes) as n
where public.is_stats_cache_populated() and n.bytes > 1.5 * h.bytes and n.bytes > 64 * 1024 * 1024;

comment on view entity_stats.size_is_as_usual is
'warn: The cache takes at most one and a half times the median of its size after the runs of the last 30 days.

What to do: see dead_rows_are_few first. Vacuum makes space usable again, but does not give it back; this does:
reindex table concurrently public.entity_stats_cache, or pg_repack.';
