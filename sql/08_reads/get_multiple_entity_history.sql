-- Several entities in one call, in the order in which they were asked for.
create or replace function public.get_multiple_entity_history(
    entity_ids bigint[],
    entity_type text,
    granularity text default 'month',
    from_date date default null,
    to_date date default null,
    zeros boolean default false
)
returns setof entity_stats.entity_history
language sql stable security definer -- readers have no right on the history
set search_path = pg_catalog, pg_temp
begin atomic
    select h.*
    from entity_stats.read_history(entity_ids, entity_type, granularity, from_date, to_date, zeros, entity_stats.closed_to()) as h;
end;

revoke execute on function public.get_multiple_entity_history(bigint[], text, text, date, date, boolean) from public;

comment on function public.get_multiple_entity_history(bigint[], text, text, date, date, boolean) is
'get_entity_history() of several entities of one type at once, in the order of entity_ids.';
