-- Decides, after facts were written, who folds them: this transaction's COMMIT, or somebody later.
-- The fold must read the newest cutoffs, so only READ COMMITTED transactions may fold for themselves.
create or replace function entity_stats.enlist()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    why text := case
        when current_setting('transaction_isolation') <> 'read committed' then current_setting('transaction_isolation')
        when coalesce(current_setting('entity_stats.fold', true), '') = 'deferred' then 'deferred'
    end;
begin
    if why is null then
        insert into entity_stats.ticket (xid) values (pg_current_xact_id()) on conflict do nothing;
    elsif coalesce(current_setting('entity_stats.parked', true), '') <> pg_current_xact_id()::text then
        insert into entity_stats.parked (reason) values (why);
        perform set_config('entity_stats.parked', pg_current_xact_id()::text, true);
    end if;
end
$$;

comment on function entity_stats.enlist() is 'Gives this transaction a fold ticket, or parks it; once per transaction.';
