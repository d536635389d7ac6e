-- Switches the history off, and empties it.
create or replace procedure entity_stats.drop_history()
language plpgsql
as $$
declare
    emptied text;
begin
    call entity_stats.require_autocommit('drop_history');
    perform entity_stats.lock_history();
    perform entity_stats.close_gate();
    update entity_stats.history as h set wanted = false, "closedTo" = null, "daysFrom" = null, "firstDay" = null;
    update entity_stats.state as s set "historyTo" = null;
    commit;

    -- Each in a transaction of its own: a reader holds one of them and waits for another.
    foreach emptied in array array['late', 'day', 'month'] loop
        perform entity_stats.lock_history();
        if not (select h.wanted from entity_stats.history as h) then
            perform entity_stats.lock_with_retries('access exclusive', 'entity_stats.' || emptied);
            execute 'truncate entity_stats.' || emptied;
        end if;
        commit;
    end loop;
end
$$;

comment on procedure entity_stats.drop_history () is
'Switches the history off and empties its tables; reads then answer from killmails. Call it with autocommit.';
