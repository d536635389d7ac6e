-- Locks a table without getting into anybody's way: a queued lock holds up everybody behind it, and one that waits while
-- holding others can deadlock with a site's own maintenance. So it waits briefly, lets go, and tries again. Where everybody is
-- slow, brief is too short for all of them to be done: each try waits twice as long, but never as long as deadlock_timeout.
create or replace function entity_stats.lock_patiently(target regclass, mode text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    deadline constant timestamptz := clock_timestamp() + interval '10 minutes';
    patience integer := 50; -- milliseconds
begin
    loop
        begin
            perform set_config('lock_timeout', patience::text, true);
            case mode
                when 'exclusive' then execute format('lock table %s in exclusive mode', target);
                when 'access exclusive' then execute format('lock table %s in access exclusive mode', target);
                when 'access share' then execute format('lock table %s in access share mode', target);
            end case;
            return;
        exception
            when lock_not_available then
                if clock_timestamp() > deadline then
                    raise exception '% was in use for 10 minutes: it could not be locked in % mode', target, mode
                        using errcode = 'lock_not_available',
                            hint = 'A transaction holds it and does not end: look for it in pg_locks.';
                end if;
        end;
        perform pg_sleep(patience * (0.5 + random()) / 1000);
        patience := least(patience * 2, 800);
    end loop;
end
$$;

comment on function entity_stats.lock_patiently(regclass, text) is
'Locks a table, and with it its partitions, in mode exclusive, access exclusive or access share, in waits that grow from 50 to 800 ms, with pauses between; gives up with an error after 10 minutes.';
