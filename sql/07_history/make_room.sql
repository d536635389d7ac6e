-- Partitions for the days to come, made before the gate closes.
create or replace function entity_stats.make_room(to_day date)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    perform entity_stats.lock_history();
    perform entity_stats.add_partitions(
        case
            when h."closedTo" is not null then h."daysFrom"
            else date_trunc('month', greatest(to_day - h."keepDays", '2003-01-01')::timestamp)::date
        end,
        (to_day + interval '1 month')::date
    )
    from entity_stats.history as h;
end
$$;

comment on function entity_stats.make_room(date) is
'Adds the partitions that the days before to_day will need, and those of a month more: a query that was planned before a partition came would not find the rows that came with it. In a transaction of its own: ATTACH PARTITION locks what comes after the gate.';
