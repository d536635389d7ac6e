-- Every table that holds killmails or routes to one that does: killmails itself, partitioned or not, and all its partitions.
create or replace function entity_stats.nodes()
returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select 'public.killmails'::regclass as node
    union
    select tree.relid as node
    from pg_partition_tree('public.killmails') as tree;
end;

comment on function entity_stats.nodes() is 'public.killmails and all its partitions, intermediate ones included.';
