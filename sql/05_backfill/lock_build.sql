-- Who may work on a build: several sessions stage slices side by side, beginning and finishing are for one session alone.
-- The lock ends with its transaction, so nobody who died or forgot to disconnect keeps it.
create or replace function entity_stats.lock_build(alone boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    key constant bigint := hashtextextended('entity_stats.claim_build', 0); -- the key of every version: an upgrade may meet a build
    locked boolean;
    holders text;
begin
    if alone then
        locked := pg_try_advisory_xact_lock(key);
    else
        locked := pg_try_advisory_xact_lock_shared(key);
    end if;

    if not locked then
        select string_agg(l.pid::text, ', ' order by l.pid) into holders
        from pg_locks as l
        where
            l.locktype = 'advisory'
            and l.database = (select d.oid from pg_database as d where d.datname = current_database())
            and (l.classid::bigint << 32) | l.objid::bigint = key
            and l.granted;

        raise exception 'another session is building the cache (backend %)', coalesce(holders, 'unknown')
            using errcode = 'lock_not_available',
                hint = format(
                    'Let it finish, or end it: select pg_terminate_backend(p) from unnest(array[%s]) as p. '
                    'Then call entity_stats.backfill() again: it resumes.',
                    coalesce(holders, 'pid')
                );
    end if;

    -- What a build writes, before it is read: REINDEX holds a table and waits for readers of its indexes.
    lock table entity_stats.phase, entity_stats.state, entity_stats.ledger, entity_stats.aside in row exclusive mode;
end
$$;

comment on function entity_stats.lock_build(boolean) is
'Locks the build until the end of the transaction, alone or beside others; raises lock_not_available (55P03) when another session works on it.';
