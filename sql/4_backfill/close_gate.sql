-- Takes the gate exclusively: no fold is under way when it returns, none begins until this transaction ends.
-- A queued exclusive lock holds up every COMMIT behind it, so it waits little and tries often.
create or replace function entity_stats.close_gate()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    deadline constant timestamptz := clock_timestamp() + interval '10 minutes';
    pause double precision := 0.05;
begin
    loop
        begin
            lock table entity_stats.gate in exclusive mode;
            return;
        exception
            when lock_not_available then
                if clock_timestamp() > deadline then
                    raise exception 'the gate of the cache has not been free for 10 minutes'
                        using errcode = 'lock_not_available',
                            hint = 'Some transaction folded and did not end: look for locks on entity_stats.gate in pg_locks.';
                end if;
        end;
        perform pg_sleep(pause * (0.5 + random()));
        pause := least(pause * 2, 1);
    end loop;
end
$$;

comment on function entity_stats.close_gate() is 'Locks the gate exclusively, in waits of 200 ms with growing pauses; gives up with an error after 10 minutes.';
