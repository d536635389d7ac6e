-- The staging is emptied before a build and after it.
create or replace function entity_stats.clear_staging()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    truncate entity_stats.staged;
    if to_regclass('entity_stats.staged_entity') is not null then
        drop index entity_stats.staged_entity;
    end if;
end
$$;

comment on function entity_stats.clear_staging() is 'Empties the staging and takes away the indexes that only the finish needs.';
