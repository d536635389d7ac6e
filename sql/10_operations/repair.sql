-- Repair of what checks have found, when it is little. Much is left for a person: it has a cause that is still at work.
create or replace function entity_stats.offences(run bigint)
returns table (offence jsonb, unlisted boolean)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select
        o.item as offence,
        c.offending > jsonb_array_length(c.sample) as unlisted
    from (
        -- A second look at a claim replaces the first.
        select distinct on (l.claim) l.offending, l.sample
        from entity_stats.check_run as l
        where l.run = offences.run and l.severity <> 'warn'
        order by l.claim, l."checkedAt" desc
    ) as c
    cross join lateral jsonb_array_elements(c.sample) as o (item);
end;

comment on function entity_stats.offences(bigint) is
'The rows that the newest results of a run''s checks list; unlisted: the check found more rows than it kept.';

create or replace function entity_stats.wrong_entities(run bigint)
returns table ("entityType" text, "entityId" bigint, unlisted boolean)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select
        o.offence ->> 'entityType' as "entityType",
        (o.offence ->> 'entityId')::bigint as "entityId",
        bool_or(o.unlisted) as unlisted
    from entity_stats.offences(wrong_entities.run) as o
    where o.offence ? 'entityType' and o.offence ? 'entityId' and o.offence ->> 'month' is null -- what names a month is about the history
    group by o.offence ->> 'entityType', o.offence ->> 'entityId';
end;

comment on function entity_stats.wrong_entities(bigint) is
'Entities that the newest results of a run''s checks list as wrong; unlisted: a check found more rows than it kept, so that these are not all.';

create or replace function entity_stats.wrong_months(run bigint)
returns setof date
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select (o.offence ->> 'month')::date as month
    from entity_stats.offences(wrong_months.run) as o
    where o.offence ->> 'month' is not null
    group by o.offence ->> 'month'
    order by o.offence ->> 'month';
end;

comment on function entity_stats.wrong_months(bigint) is 'Months of the history that the newest results of a run''s checks list as wrong.';

create or replace procedure entity_stats.repair(run bigint, most integer default 100)
language plpgsql
as $$
declare
    entities bigint;
    incomplete boolean;
    todo record;
    changed bigint;
    months constant date [] := array(select m.month from entity_stats.wrong_months(run) as m (month));
    wrong_month date;
begin
    call entity_stats.require_autocommit('repair');
    if pg_catalog.cardinality(months) > most then
        raise warning 'Checks of run % found % months of the history wrong, the limit of repair is %: left for a person',
            run, pg_catalog.cardinality(months), most
            using hint = pg_catalog.format(
                'The rows: select claim, sample from entity_stats.check_run where run = %s and offending > 0. '
                'After fixing the cause: call entity_stats.backfill(rebuild => true).', run
            );
    else
        foreach wrong_month in array months loop
            changed := entity_stats.recount_month(wrong_month);
            commit;
            raise notice 'Recounted % of the history: % rows', pg_catalog.to_char(wrong_month, 'YYYY-MM'), changed;
        end loop;
    end if;

    select count(*), pg_catalog.bool_or(w.unlisted) into entities, incomplete
    from entity_stats.wrong_entities(run) as w;

    if entities = 0 then
        raise notice 'No entity to repair';
        return;
    elsif incomplete or entities > most then
        raise warning 'Checks of run % found % wrong, the limit of repair is %: left for a person',
            run, case when incomplete then 'more entities than they list' else entities || ' entities' end, most
            using hint = pg_catalog.format(
                'The rows: select claim, sample from entity_stats.check_run where run = %s and offending > 0. '
                'After fixing the cause: call entity_stats.backfill(rebuild => true).', run
            );
        return;
    end if;

    -- One entity per transaction: commits that fold it wait for no other.
    for todo in
        select w."entityType" as type, w."entityId" as id
        from entity_stats.wrong_entities(run) as w
        order by 1, 2
    loop
        select count(*) into changed
        from entity_stats.recalculate_entities(todo.type, array[todo.id]);
        commit;
        raise notice 'Repaired % %: % cells changed', todo.type, todo.id, changed;
    end loop;
end
$$;

comment on procedure entity_stats.repair (bigint, integer) is
'Recalculates the entities, and recounts the months of the history, that checks of a run found wrong, when they are at most most; more are left for a person, with a warning. Call it with autocommit.';
