-- Locks tables, all or none of them, without getting into anybody's way: a queued lock holds up everybody behind it, and one that
-- waits while holding others can deadlock with a site's own maintenance. So it waits briefly, lets go of all, and tries again. Where
-- everybody is slow, brief is too short for all of them to be done: each try waits twice as long, but never as long as deadlock_timeout.
-- Who holds one of the targets and waits for another, which we hold, makes a try fail. So every other try takes them the other way
-- round: folds want one order, and readers have theirs. Names, because what bears one may be replaced while somebody waits for it.
create or replace function entity_stats.lock_with_retries(mode text, variadic targets text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    deadline constant timestamptz := clock_timestamp() + interval '10 minutes';
    patience integer := 50; -- milliseconds, for all of them together
    began timestamptz;
    target text;
begin
    loop
        begin
            began := clock_timestamp();
            foreach target in array targets loop
                perform set_config(
                    'lock_timeout', greatest(1, patience - extract(milliseconds from clock_timestamp() - began)::integer)::text, true
                );
                case
                    when mode = 'access share' then execute format('lock table %s in access share mode', target);
                    when mode = 'exclusive' or (mode = 'access exclusive' and to_regclass(target) = to_regclass('public.killmails'))
                        then execute format('lock table %s in exclusive mode', target);
                    when (select c.relkind = 'v' from pg_class as c where c.oid = to_regclass(target))
                        then execute format('alter view %s reset (security_barrier)', target); -- LOCK TABLE would lock what it reads, too
                    when mode in ('access exclusive', 'drop') then execute format('lock table %s in access exclusive mode', target);
                end case;
            end loop;
            return;
        exception
            when lock_not_available then
                if clock_timestamp() > deadline then
                    raise exception '% was in use for 10 minutes: it could not be locked in % mode', target, mode
                        using errcode = 'lock_not_available',
                            hint = format(
                                'Who holds it: select pid, mode from pg_locks where relation = %L::regclass and granted. To end it: select pg_terminate_backend(pid).',
                                target
                            );
                end if;
        end;
        perform pg_sleep(patience * (0.5 + random()) / 1000);
        patience := least(patience * 2, 800);
        targets := array(select t.target from unnest(targets) with ordinality as t (target, place) order by t.place desc);
    end loop;
end
$$;

comment on function entity_stats.lock_with_retries(text, text[]) is
'Locks tables by name (with the schema), partitions with them, and views, all or none, in mode access share, exclusive, access exclusive (killmails: exclusive) or drop (access exclusive, killmails, too). Waits 50 to 800 ms, pauses, tries again; an error after 10 minutes.';
