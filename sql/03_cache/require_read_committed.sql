-- What reads the newest figures and then writes them: a snapshot of before would not see what others have committed since.
create or replace function entity_stats.require_read_committed(caller text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception '%() works in READ COMMITTED only', caller
            using errcode = 'invalid_transaction_state',
                hint = 'set default_transaction_isolation = ''read committed'', then call it with autocommit.';
    end if;
end
$$;

comment on function entity_stats.require_read_committed(text) is
'Raises invalid_transaction_state in another isolation level than READ COMMITTED; caller: name of the routine, for the message.';
