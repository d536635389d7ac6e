-- What is wrong is read by nobody any more: it goes in small steps before a build, so that the gate is never closed for long.
create or replace function entity_stats.clear_wrong_rows(done_to bigint, most integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_custom_plan -- with the ids in the plan, the index answers
as $$
declare
    to_id bigint;
begin
    perform entity_stats.lock_build(alone => true);
    perform entity_stats.close_gate();
    lock table public.entity_stats_cache in row exclusive mode; -- before it is read: REINDEX holds it and waits for readers of its indexes

    if
        not exists (select from public.entity_stats_invalidation)
        and (entity_stats.disturbance() is null or not exists (select from entity_stats.state as s where s.status = 'backfilling'))
    then
        return null;
    end if;

    select max(e."entityId") into to_id
    from (
        select c."entityId"
        from public.entity_stats_cache as c
        where done_to is null or c."entityId" > done_to
        order by c."entityId"
        limit most
    ) as e;

    delete from public.entity_stats_cache as c where (done_to is null or c."entityId" > done_to) and c."entityId" <= to_id;

    return to_id;
end
$$;

comment on function entity_stats.clear_wrong_rows(bigint, integer) is
'Under the gate: removes the next rows, about most after id done_to (null: from the first), of a cache that is invalid or half filled by a build that cannot go on; returns the last id, null when there is nothing to remove.';
