-- SECURITY DEFINER: whoever calls it, the partition is the operators', like its table.
create or replace function entity_stats.add_partition(of_table text, from_day date, to_day date)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    part constant text := of_table || case
        when from_day = '-infinity' then '_early'
        else to_char(from_day, case of_table when 'month' then '_YYYY' else '_YYYY_MM' end)
    end;
begin
    if to_regclass('entity_stats.' || part) is null then
        -- Attached, which locks out nobody; PARTITION OF would wait for every reader.
        execute format('create table entity_stats.%I (like entity_stats.%I including all)', part, of_table);
        execute format(
            'alter table entity_stats.%I attach partition entity_stats.%I for values from (%s) to (%L)',
            of_table, part, case when from_day = '-infinity' then 'minvalue' else quote_literal(from_day) end, to_day
        );
    end if;
end
$$;

comment on function entity_stats.add_partition(text, date, date) is
'Adds a partition to entity_stats.month or entity_stats.day unless it is there; from_day -infinity: everything before to_day.';

create or replace function entity_stats.add_partitions(days_from date, to_day date)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    part date;
begin
    -- All years since there is EVE Online: killmails of any of them may still arrive.
    perform entity_stats.add_partition('month', '-infinity', '2003-01-01');
    for part in select g::date from generate_series('2003-01-01'::timestamp, to_day - 1, interval '1 year') as g loop
        perform entity_stats.add_partition('month', part, (part + interval '1 year')::date);
    end loop;
    for part in select g::date from generate_series(days_from::timestamp, to_day - 1, interval '1 month') as g loop
        perform entity_stats.add_partition('day', part, (part + interval '1 month')::date);
    end loop;
end
$$;

comment on function entity_stats.add_partitions(date, date) is 'Partitions of the history up to before to_day: of months, all; of days, from days_from.';
