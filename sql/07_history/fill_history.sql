-- Fills the history from the first killmail on, once.
create or replace procedure entity_stats.fill_history(as_of timestamptz default null, wanted boolean default true)
language plpgsql
as $$
begin
    call entity_stats.require_autocommit('fill_history');
    if fill_history.wanted then
        update entity_stats.history as h set wanted = true where not h.wanted;
        commit;
    end if;
    call entity_stats.close_history(as_of);
end
$$;

comment on procedure entity_stats.fill_history (timestamptz, boolean) is
'Switches the history on and fills it month by month up to as_of (UTC, default now), while killmails keep arriving; killed and called again, it goes on. wanted false: only goes on with a history that is on. Call it with autocommit.';
