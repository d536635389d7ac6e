-- Who may work on a build: several sessions stage slices side by side, beginning and finishing are for one session alone.
-- The claim ends with its transaction, so nobody who died or forgot to disconnect keeps it.
create or replace function entity_stats.claim_build(alone boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    key constant bigint := hashtextextended('entity_stats.claim_build', 0);
    claimed boolean;
    holders text;
begin
    if alone then
        claimed := pg_try_advisory_xact_lock(key);
    else
        claimed := pg_try_advisory_xact_lock_shared(key);
    end if;

    if not claimed then
        select string_agg(l.pid::text, ', ' order by l.pid) into holders
        from pg_locks as l
        where
            l.locktype = 'advisory'
            and l.database = (select d.oid from pg_database as d where d.datname = current_database())
            and (l.classid::bigint << 32) | l.objid::bigint = key
            and l.granted;

        raise exception 'another session is building the cache (backend %)', coalesce(holders, 'unknown')
            using errcode = 'lock_not_available',
                hint = 'Let it finish, or end it with pg_terminate_backend(), then run the backfill again: it resumes.';
    end if;
end
$$;

comment on function entity_stats.claim_build(boolean) is
'Claims the build until the end of the transaction, alone or beside others; raises lock_not_available (55P03) when another session works on it.';
