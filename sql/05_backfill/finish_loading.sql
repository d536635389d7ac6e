-- A first build has filled the empty cache: what comes from here on is added to it.
create or replace function entity_stats.finish_loading()
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set work_mem = '256MB'
as $$
declare
    now_state entity_stats.state;
begin
    perform entity_stats.lock_build(alone => true);
    select s.* into now_state from entity_stats.state as s for update;

    if now_state.status <> 'backfilling' or now_state."finishedTo" is not null then
        return null;
    elsif exists (select from entity_stats.phase as p where p.snapshot is null) then
        return null;
    end if;

    analyze public.entity_stats_cache ("entityId", "entityType"); -- what plans look at
    update entity_stats.state as s set "finishedTo" = 9223372036854775807;

    return (select sum(p.entities) from entity_stats.phase as p where p.period = 'all');
end
$$;

comment on function entity_stats.finish_loading() is
'First build only, once the phases have filled the cache: from here on facts are added to it; returns the number of entities, null when it is not the time for it.';
