-- The months or days of one entity, exact at every moment: closed ones from their rows, the others from killmails.
create or replace function public.get_entity_history(
    entity_id bigint,
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
    from entity_stats.read_history(array[entity_id], entity_type, granularity, from_date, to_date, zeros, entity_stats.closed_to()) as h;
end;

revoke execute on function public.get_entity_history(bigint, text, text, date, date, boolean) from public;

comment on function public.get_entity_history(bigint, text, text, date, date, boolean) is
'Figures of one entity per UTC month or day (granularity) from from_date to to_date, both inclusive (null: all), oldest first; months count whole. Dates without killmails are left out; zeros: they come as zeros, up to today. ISK. Without a history the same from killmails.';
