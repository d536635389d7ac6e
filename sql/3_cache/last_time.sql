-- When an entity last killed or lost, from the source: an index lookup per side, in the newest partitions first.
create or replace function entity_stats.last_time(entity_type text, entity_id bigint, attacker boolean, until timestamp)
returns timestamp
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off -- a policy that hides killmails is an error
set jit = off
set lock_timeout = '500ms' -- a fold comes with rows of the cache locked: it gives up before it can deadlock with a TRUNCATE
set plan_cache_mode = force_custom_plan -- with the values in the plan, one index of few partitions answers
as $$
declare
    reach interval;
    to_time constant timestamptz := until at time zone 'UTC';
    found_time timestamptz;
begin
    foreach reach in array array[interval '14 days', interval '180 days', null] loop
        select max(p."killmailTime") into found_time
        from entity_stats.killmail_party() as p
        where
            p."entityType" = last_time.entity_type
            and p."entityId" = last_time.entity_id
            and p.attacker = last_time.attacker
            and p."killmailTime" <= to_time
            and p."killmailTime" >= coalesce(to_time - reach, '-infinity');
        exit when found_time is not null;
    end loop;

    return found_time at time zone 'UTC';
end
$$;

comment on function entity_stats.last_time(text, bigint, boolean, timestamp) is
'Time (UTC) of the newest kill (attacker true) or loss of an entity not after until (UTC); null if none.';
