-- The cache is ready: filled, exact and live, so that pages read it.
--
-- Until it is, pages get their figures from the views, which read killmails: slower, but right. Not ready are a cache that was
-- never filled, a backfill that is running or was interrupted, a cache that a TRUNCATE of killmails has made wrong, and one whose
-- trigger on public.killmails is missing.
--
-- What to do: where the trigger is missing, see killmails_are_guarded. Else call entity_stats.backfill(), or trigger
-- entity_stats_backfill: it resumes what was interrupted and begins anew after a TRUNCATE. Other claims about the cache are
-- judged only when this one holds.
select
    s.status,
    coalesce(
        s.reason,
        case when s.status = 'ready' then 'public.killmails has no trigger_update_entity_stats_on_insert that is enabled' end
    ) as reason,
    s."startedAt"
from entity_stats.status() as s
where not public.is_stats_cache_populated();
