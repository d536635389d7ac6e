-- Captures TRUNCATE. A partition of bounded size is enumerated like a DELETE; anything bigger, and the whole table, ends
-- the cache's readiness with a reason: readers fall back to the views until the next backfill.
-- SECURITY DEFINER: a role that may only write killmails needs no right on ours.
create or replace function entity_stats.capture_truncate()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
begin
    if entity_stats.is_captured(tg_relid) and (tg_relid = to_regclass('public.killmails') or not entity_stats.capture_table(tg_relid, -1)) then
        insert into public.entity_stats_invalidation (reason) values (format('TRUNCATE of %s', tg_relid::regclass));
    end if;

    return null;
exception
    when others or query_canceled then
        begin
            perform entity_stats.not_captured(sqlerrm);
        exception
            when others or query_canceled then
                raise warning 'entity stats cache: TRUNCATE of % was not captured (%)', tg_relid::regclass, sqlerrm;
        end;
        return null;
end
$$;

comment on function entity_stats.capture_truncate() is 'Statement trigger of killmails, before TRUNCATE: negative facts for a small partition in READ COMMITTED, else an invalidation. Never raises.';
