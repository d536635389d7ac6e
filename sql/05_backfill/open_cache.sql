-- The moment at which a first build becomes the cache: the last facts under the gate, then ready.
create or replace function entity_stats.open_cache()
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    now_state entity_stats.state;
    undone bigint;
begin
    perform entity_stats.lock_build(alone => true);
    perform entity_stats.lock_with_retries('access share', 'public.killmails');
    perform entity_stats.close_gate();
    select s.* into now_state from entity_stats.state as s;
    select count(*) into undone from entity_stats.phase as p where p.snapshot is null;

    if now_state.status <> 'backfilling' and not now_state.retaining then
        return false;
    end if;

    perform entity_stats.refuse_disturbed();

    if undone > 0 then
        raise exception '% slices of the backfill are not done', undone
            using errcode = 'object_not_in_prerequisite_state', hint = 'call entity_stats.backfill(): it resumes at the first of them.';
    elsif now_state.status = 'ready' then
        return true;
    end if;

    while entity_stats.absorb(1000) > 0 loop
        perform entity_stats.merge_staged();
    end loop;

    update entity_stats.state as s
    set status = 'ready', "readyAt" = clock_timestamp(), "finishedTo" = null;
    return true;
end
$$;

comment on function entity_stats.open_cache() is
'Under the gate: a first build takes the last facts and becomes ready; true as well when a rebuild has ranges to finish, false when there is nothing to do.';
