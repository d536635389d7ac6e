-- Who works on the history: one session at a time.
create or replace function entity_stats.lock_history()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('entity_stats.history', 0));
    -- Before they are read: REINDEX holds a table and waits for readers of its index.
    lock table entity_stats.history, entity_stats.state in row exclusive mode;
end
$$;

comment on function entity_stats.lock_history() is
'Waits until nobody else works on the history, and locks it until the end of the transaction. Comes before every other lock but that of a build.';
