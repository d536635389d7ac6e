-- From here on folds keep the facts of days that are about to be closed.
create or replace function entity_stats.open_late(to_day date)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    moves boolean;
begin
    perform entity_stats.lock_history();
    moves := not exists (select from entity_stats.state as s where s."historyTo" >= entity_stats.midnight(to_day));
    if moves then
        perform entity_stats.close_gate();
    end if;

    if not public.is_stats_cache_populated() then
        raise exception 'the cache is not ready: there is no history to keep'
            using errcode = 'object_not_in_prerequisite_state', hint = 'Run the backfill first: call entity_stats.backfill().';
    end if;

    update entity_stats.state as s
    set "historyTo" = entity_stats.midnight(to_day)
    where moves;
end
$$;

comment on function entity_stats.open_late(date) is
'Under the gate: from here on folds keep facts of the days before to_day for the history. No fold is under way that does not.';
