-- Nothing could be kept of what a statement did to killmails: the cache is stale from now on, and says so.
create or replace function entity_stats.not_captured(why text)
returns void
language sql
set search_path = pg_catalog, pg_temp
begin atomic
    insert into public.entity_stats_invalidation (reason) values ('killmails were not captured: ' || why);
end;

comment on function entity_stats.not_captured(text) is 'Ends the cache''s readiness until the next backfill, because changes of killmails are not in the ledger.';
