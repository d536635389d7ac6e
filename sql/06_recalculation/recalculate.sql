-- Recalculation of one entity, for people.
create or replace function entity_stats.recalculate(entity_id bigint, entity_type text)
returns setof entity_stats.correction
language sql
set search_path = pg_catalog, pg_temp
begin atomic
    select c.* from entity_stats.recalculate_entities(entity_type, array[entity_id]) as c;
end;

comment on function entity_stats.recalculate(bigint, text) is
'Recalculates one entity from the source; returns the cells it changed, no row when all was right. Raises when the cache is not ready.';
