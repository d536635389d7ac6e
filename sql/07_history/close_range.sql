-- Filling the history and closing a day are the same step: the next range, at most a month, from one snapshot. Nobody waits for it but who
-- works on the history, too.
create or replace function entity_stats.close_range()
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
set timezone = 'UTC'
set jit = off
as $$
declare
    now_history entity_stats.history;
    history_to date;
    from_day date;
    to_day date;
    written bigint;
begin
    perform entity_stats.lock_history();
    perform entity_stats.hold_source(as_built => false);
    select h.* into now_history from entity_stats.history as h;
    select s."historyTo"::date into history_to
    from entity_stats.state as s
    where s.status = 'ready' and not exists (select from public.entity_stats_invalidation);

    if history_to is null or history_to <= now_history."closedTo" then
        return null;
    elsif now_history."closedTo" is null then
        -- Killmails from before EVE Online are errors; what there is of them goes with the first step.
        select min(k."killmailTime")::date into now_history."firstDay"
        from entity_stats.killmail() as k
        where isfinite(k."killmailTime");
        now_history."firstDay" := least(coalesce(now_history."firstDay", history_to), history_to);
        now_history."daysFrom" := date_trunc('month', greatest(history_to - now_history."keepDays", now_history."firstDay", '2003-01-01')::timestamp);
        from_day := '-infinity';
        to_day := least(history_to, (date_trunc('month', greatest(now_history."firstDay", '2003-01-01')::timestamp) + interval '1 month')::date);
    else
        from_day := now_history."closedTo";
        to_day := least(history_to, (date_trunc('month', from_day::timestamp) + interval '1 month')::date);
    end if;

    written := entity_stats.count_history(from_day, to_day, now_history."daysFrom");
    update entity_stats.history as h
    set "closedTo" = to_day, "daysFrom" = now_history."daysFrom", "firstDay" = now_history."firstDay";

    return format('Closed the history up to %s: %s rows', to_day, written);
end
$$;

comment on function entity_stats.close_range() is
'Closes the next days of the history, at most to the end of their month; returns what it did, in words, null when nothing is left to close.';
