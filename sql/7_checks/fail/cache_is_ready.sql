-- The cache is ready: filled, exact and live, so that pages read it.
--
-- Until it is, pages get their figures from the views, which read killmails: slower, but right. Not ready are a cache that was
-- never filled, a backfill that is running or was interrupted, and a cache that a TRUNCATE of killmails has made wrong.
--
-- What to do: call entity_stats.backfill(), or trigger entity_stats_backfill: it resumes what was interrupted and begins anew
-- after a TRUNCATE. The other claims are judged only when this one holds.
select
    coalesce(s.status, 'unknown') as status,
    coalesce(s.reason, case when s.status is null then 'entity_stats.state has no row: deploy again' end) as reason,
    s."startedAt"
from (select public.is_stats_cache_populated() as ready) as p
left join entity_stats.status() as s on true
where not p.ready;
