-- Days are kept for as long as the site says, months for ever.
create or replace function entity_stats.drop_old_days()
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    days_from date;
    part regclass;
    dropped bigint := 0;
begin
    perform entity_stats.lock_history();
    select h."daysFrom" into days_from from entity_stats.history as h;

    -- First what the last call has put out of use: whoever still reads by an older snapshot finds the others.
    for part in
        select c.oid
        from pg_inherits as i
        inner join pg_class as c on i.inhrelid = c.oid
        where i.inhparent = 'entity_stats.day'::regclass and right(c.relname, 7) < to_char(days_from, 'YYYY_MM')
        order by c.oid
    loop
        perform entity_stats.lock_with_retries('access exclusive', 'entity_stats.day');
        execute format('drop table %s', part);
        dropped := dropped + 1;
    end loop;

    update entity_stats.history as h
    set "daysFrom" = date_trunc('month', (h."closedTo" - h."keepDays")::timestamp)
    where h."daysFrom" < date_trunc('month', (h."closedTo" - h."keepDays")::timestamp);

    return dropped;
end
$$;

comment on function entity_stats.drop_old_days() is
'Puts months of days out of use that are older than keepDays; drops the partitions that were out of use before, and returns how many.';
