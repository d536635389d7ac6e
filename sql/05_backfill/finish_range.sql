-- A rebuild becomes the cache range by range, while it serves: what differs is written.
create or replace function entity_stats.finish_range(most integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan -- with the ids in the plan, indexes answer
set enable_seqscan = off
set jit = off
as $$
declare
    done_to bigint;
    to_id bigint;
    net entity_stats.delta [];
    merged bigint;
begin
    perform entity_stats.lock_build(alone => true);
    perform entity_stats.lock_with_retries('access share', 'public.killmails');
    perform entity_stats.close_gate();
    lock table public.entity_stats_cache in row exclusive mode; -- before it is read: REINDEX holds it and waits for readers of its indexes

    if not (select s.retaining from entity_stats.state as s) then
        return null;
    end if;

    perform entity_stats.refuse_disturbed();

    while entity_stats.absorb(1000) > 0 loop
        null;
    end loop;

    select s."finishedTo" into done_to from entity_stats.state as s;

    select max(e."entityId") into to_id
    from (
        (
            select s."entityId"
            from entity_stats.staged as s
            where done_to is null or s."entityId" > done_to
            order by s."entityId"
            limit most
        )
        union all
        (
            select c."entityId"
            from public.entity_stats_cache as c
            where done_to is null or c."entityId" > done_to
            order by c."entityId"
            limit most
        )
        order by "entityId"
        limit most
    ) as e;

    if to_id is null then
        update entity_stats.state as s
        set status = 'ready', retaining = false, "finishedTo" = null; -- ready since its first build: it has served throughout
        delete from entity_stats.ledger as l where l.folded;
        return null;
    end if;

    -- Facts that are pending and absorbed will be folded after us, so the row must not have them yet; facts committed since
    -- the absorption are neither staged nor subtracted.
    select array(
        select d
        from entity_stats.drift(staging => true) as d
        where (done_to is null or d."entityId" > done_to) and d."entityId" <= to_id
    )
    into net;

    update entity_stats.state as s set "finishedTo" = to_id;
    merged := entity_stats.merge(deltas => net);

    return merged;
end
$$;

comment on function entity_stats.finish_range(integer) is
'Writes the next range of entities, about most staged rows wide, in one short transaction under the gate; null when the cache became ready.';
