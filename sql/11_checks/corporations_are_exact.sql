create view entity_stats.corporations_are_exact as
select d.*
from entity_stats.differing_entities() as d
where public.is_stats_cache_populated() and d."entityType" = 'corporation';

comment on view entity_stats.corporations_are_exact is
'full: Every figure of every corporation, all-time and in each window, and both times, equal a recount of all killmails, to the last
digit. Pending facts are taken into account.

What to do: the cleanup repairs up to 100 entities by itself; for more: call entity_stats.backfill(rebuild => true). Then find
the cause: killmails written with triggers disabled, a partition dropped or attached with its rows, a manual edit of the cache.
If there is none, it is a bug: please report the rows, and what the server was doing.';
