create view entity_stats.cache_is_ready as
select
    s.status,
    s.reason,
    s."startedAt"
from entity_stats.status() as s
where s.status <> 'ready';

comment on view entity_stats.cache_is_ready is
'fail: The cache is ready: filled, exact and live, so that pages read it.

Until then, pages get their figures from the views, which read killmails: slower, but right. The cache is not ready if it was
never filled, while a backfill is running or interrupted, and after a TRUNCATE of killmails.

What to do: call entity_stats.backfill(), or trigger entity_stats_backfill: it resumes an interrupted build, and starts from
scratch after a TRUNCATE. The other claims about the cache are checked only when this one holds.';
