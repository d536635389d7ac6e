-- Takes the gate exclusively: no fold is under way when it returns, none begins until this transaction ends.
create or replace function entity_stats.close_gate()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Whoever waited for the gate has to read state and cutoffs as they are now, not as they were when its snapshot was taken.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'the gate of the cache is locked in READ COMMITTED transactions only, not %', current_setting('transaction_isolation')
            using errcode = 'invalid_transaction_state',
                hint = 'set default_transaction_isolation = ''read committed'', and run it with autocommit.';
    end if;

    perform entity_stats.lock_with_retries('exclusive', 'entity_stats.gate');
end
$$;

comment on function entity_stats.close_gate() is 'Locks the gate exclusively; raises in other isolation levels than READ COMMITTED.';
