-- What a statement writes is kept for the capture triggers in a transition table, which spills beyond work_mem: under temp_file_limit a
-- big INSERT would fail because of us, before any of our functions is called. So it is lifted first. The trigger's WHEN asks whether
-- there is a limit, so that nothing is called where there is none.
create or replace function entity_stats.lift_temp_file_limit()
returns trigger
language plpgsql security definer -- the ingesting role may not
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config('temp_file_limit', '-1', true);
    return null;
exception
    when others or query_canceled then
        return null; -- nobody has granted it to the operators: most statements fit all the same
end
$$;

comment on function entity_stats.lift_temp_file_limit() is
'Statement trigger of killmails, before whatever changes them: no temp_file_limit until the end of the transaction. Never raises.';
