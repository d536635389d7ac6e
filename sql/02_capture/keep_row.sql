-- MERGE into a partitioned table: once it has inserted a row, PostgreSQL (15 to 18) puts that row into the transition table in place of each
-- row that it updates afterwards. Where a BEFORE INSERT trigger might have changed the row it does not, so each leaf has one; its
-- WHEN is false.
create or replace function entity_stats.keep_row()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return new;
end
$$;

comment on function entity_stats.keep_row() is
'Row trigger of each leaf of killmails that is never called: while there is one, the capture triggers see what MERGE has updated.';
