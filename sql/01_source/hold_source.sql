-- Killmails first, then the question what they are: whoever asks reads tables of ours, which come later in the order of locks, and
-- what is found stays true until the end of the transaction.
create or replace function entity_stats.hold_source(as_built boolean default true)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from pg_class as c where c.oid = to_regclass('public.killmails') and c.relkind in ('r', 'p')) then
        begin
            perform entity_stats.lock_with_retries('access share', 'public.killmails');
        exception
            when undefined_table or wrong_object_type or insufficient_privilege then
                perform entity_stats.require_source(as_built); -- says what has become of it
                raise; -- nothing has, but it is not held
        end;
    end if;
    perform entity_stats.require_source(as_built);
end
$$;

comment on function entity_stats.hold_source(boolean) is
'Keeps killmails from being altered or replaced until the end of the transaction, and raises as require_source() does when they are not what the cache was built from.';
