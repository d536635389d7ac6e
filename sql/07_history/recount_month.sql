-- Repair of the history: one month and its days anew from killmails, as far as it is closed. Exact while killmails arrive.
create or replace function entity_stats.recount_month(month date)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    now_history entity_stats.history;
    early constant boolean := month < '2003-01-01'; -- those are one
    from_day constant date := case when early then '-infinity' else date_trunc('month', month::timestamp) end;
    to_day date := case when early then '2003-01-01' else (date_trunc('month', month::timestamp) + interval '1 month')::date end;
begin
    perform entity_stats.require_read_committed('recount_month');

    perform entity_stats.lock_history();
    perform entity_stats.hold_source(as_built => false);
    select h.* into now_history from entity_stats.history as h;
    to_day := least(to_day, now_history."closedTo");

    if now_history."closedTo" is null or from_day >= to_day then
        return 0;
    end if;
    return entity_stats.count_history(from_day, to_day, now_history."daysFrom");
end
$$;

comment on function entity_stats.recount_month(date) is
'Counts the closed days of a month (any day of it, UTC) anew from killmails, for all entities; returns how many rows the month has now, 0 when it is not closed.';
