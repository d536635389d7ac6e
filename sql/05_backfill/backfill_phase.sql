-- The slices of one entity type and period, as far as they are not done yet.
create or replace function entity_stats.begin_slice(in_period text, in_type text)
returns entity_stats.phase
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    todo entity_stats.phase;
begin
    perform entity_stats.lock_build(alone => false);

    select p.* into todo
    from entity_stats.phase as p
    where
        p.period = in_period
        and p.snapshot is null
        and (
            p."entityType" = in_type
            or exists (
                select
                from entity_stats.phase as o
                where o.period = p.period and o."entityType" = p."entityType" and o."begunAt" is not null
            )
        )
    order by p."entityType" <> in_type, p."begunAt" nulls first, p."entityType", p.slice
    limit 1;

    update entity_stats.phase as p
    set "begunAt" = clock_timestamp()
    where p.period = todo.period and p."entityType" = todo."entityType" and p.slice = todo.slice and p.snapshot is null;

    return todo;
end
$$;

comment on function entity_stats.begin_slice(text, text) is
'Chooses what a session that does a phase builds next, and notes that it has begun: a slice of that phase, if possible one that nobody has begun, then slices of types that others are still at; null when there is none.';

create or replace function entity_stats.entities_built(in_period text, in_type text)
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    -- Parts have different entities; ranges of time have the same again.
    select
        case
            when count(*) = 1 or max(p.parts) > 1 then sum(p.entities)::bigint
            else (
                select count(*)
                from (
                    select distinct s."entityId"
                    from entity_stats.staged as s
                    inner join entity_stats.time_window as w on s.periods = w.bit
                    where w.period = entities_built.in_period and s."entityType" = entities_built.in_type
                ) as e
            )
        end
    from entity_stats.phase as p
    where p.period = in_period and p."entityType" = in_type;
end;

comment on function entity_stats.entities_built(text, text) is 'How many entities a phase has found.';

create or replace procedure entity_stats.backfill_phase(period text, entity_type text)
language plpgsql
as $$
declare
    begun constant timestamptz := pg_catalog.clock_timestamp();
    todo entity_stats.phase;
    built bigint;
    slices bigint;
    reported boolean := false;
begin
    call entity_stats.require_autocommit('backfill_phase');
    perform entity_stats.require_read_committed('backfill_phase');

    select count(*) into slices
    from entity_stats.phase as p
    where p.period = backfill_phase.period and p."entityType" = backfill_phase.entity_type;

    if slices = 0 then
        raise exception 'no backfill of % in period % has begun', entity_type, period
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'call entity_stats.backfill_begin() first; periods are all, 90d, 30d, 14d, types character, corporation, alliance.';
    end if;
    commit;

    loop
        todo := entity_stats.begin_slice(period, entity_type);
        commit;

        if not reported and todo."entityType" is distinct from entity_type then
            reported := true;
            raise notice 'Backfilled % %s (%) in % ms',
                pg_catalog.to_char(entity_stats.entities_built(period, entity_type), 'FM999,999,999,990'),
                entity_type,
                case period when 'all' then 'all-time' else period end,
                pg_catalog.to_char(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - begun) * 1000, 'FM999,999,999,990');
        end if;
        exit when todo.slice is null;

        built := entity_stats.build_slice(period, todo."entityType", todo.slice);
        commit;
        if slices > 1 or reported then
            raise notice '  slice % of %s: % totals', todo.slice, todo."entityType", pg_catalog.to_char(built, 'FM999,999,999,990');
        end if;
    end loop;
end
$$;

comment on procedure entity_stats.backfill_phase (text, text) is
'Does one phase of the running backfill, committing slice by slice, none twice, and helps who is still at another type; in a first build the first phase of a type fills all its periods. period: all, 90d, 30d, 14d; entity_type: character, corporation, alliance.';
