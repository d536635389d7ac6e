-- The staging is not needed any more.
create or replace function entity_stats.discard_staging()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform entity_stats.lock_build(alone => true);

    if exists (select from entity_stats.state as s where s.status <> 'backfilling' and not s.retaining) then
        perform entity_stats.clear_staging();
    end if;
end
$$;

comment on function entity_stats.discard_staging() is 'Gives the space of the staging back once no build needs it.';
