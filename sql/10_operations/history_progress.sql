-- How far the history is: for the page, and for whoever waits in psql (\watch).
create or replace function entity_stats.history_progress()
returns table (
    "closedTo" date,
    "targetDay" date,
    "firstDay" date,
    "daysFrom" date,
    percent numeric,
    late bigint
)
language sql stable
begin atomic
    select
        h."closedTo",
        (s."historyTo" at time zone 'UTC')::date as "targetDay",
        h."firstDay",
        h."daysFrom",
        round(
            100.0 * coalesce(greatest(h."closedTo" - h."firstDay", 0), 0)
            / greatest((s."historyTo" at time zone 'UTC')::date - h."firstDay", 1), 1
        ) as percent,
        (select count(*) from entity_stats.late) as late
    from entity_stats.history as h
    inner join entity_stats.state as s on h.single = s.single
    where h.wanted;
end;

comment on function entity_stats.history_progress() is
'One row where a history is kept: days before "closedTo" are closed, those before "targetDay" are to be; the first day, the first of those that have rows, percent of all days that are closed, and how many late facts wait. No row: no history.';
