-- When an entity last killed or lost, from the source: an index lookup per side.
create or replace function entity_stats.last_time(entity_type text, entity_id bigint, attacker boolean)
returns timestamp
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
begin
    return (
        select max(p."killmailTime") at time zone 'UTC'
        from entity_stats.killmail_party() as p
        where
            p."entityType" = last_time.entity_type
            and p."entityId" = last_time.entity_id
            and p.attacker = last_time.attacker
    );
end
$$;

comment on function entity_stats.last_time(text, bigint, boolean) is
'Time (UTC) of the newest kill (attacker true) or loss of an entity; null if none. Planned anew each time, so that one index of killmails answers.';
