-- The cache is ready: filled, exact and live, so that pages read it.
--
-- Until it is, pages get their figures from the views, which read killmails: slower, but right. Not ready are a cache that was
-- never filled, a backfill that is running or was interrupted, and a cache that a TRUNCATE of killmails has made wrong.
--
-- What to do: call entity_stats.backfill(), or trigger entity_stats_backfill: it resumes what was interrupted and begins anew
-- after a TRUNCATE. Other claims about the cache are judged only when this one holds.
select
    s.status,
    s.reason,
    s."startedAt"
from entity_stats.status() as s
where s.status <> 'ready';
