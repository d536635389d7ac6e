-- Procedures that commit as they go cannot do so inside a transaction block. There PostgreSQL says "invalid transaction termination",
-- after the first step; this says it before, in words that lead on.
create or replace function entity_stats.commit_in_a_block()
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    commit; -- a function cannot
    return null;
exception
    when invalid_transaction_termination then
        return sqlerrm;
end
$$;

comment on function entity_stats.commit_in_a_block() is 'What PostgreSQL says, in the language of the session, to a COMMIT inside a transaction block.';

create or replace procedure entity_stats.require_autocommit(caller text)
language plpgsql
as $$
declare
    said text;
begin
    -- Refused either way: outside a transaction block because of this block's handler, which is another message.
    begin
        commit;
    exception
        when invalid_transaction_termination then
            said := sqlerrm;
    end;

    if said = entity_stats.commit_in_a_block() then
        raise exception '%() commits as it goes: it cannot run inside a transaction block', caller
            using errcode = 'active_sql_transaction',
                hint = 'Call it with autocommit: outside BEGIN and COMMIT, and as the only statement of psql -c.';
    end if;
end
$$;

comment on procedure entity_stats.require_autocommit (text) is
'Raises active_sql_transaction when a procedure that commits as it goes is called inside a transaction block; caller: its name, for the message.';
