-- Every table that holds killmails or routes to one that does: killmails itself, partitioned or not, and all its partitions.
-- Read from the catalog, because pg_partition_tree() would lock them all; looked up by name, because PostgreSQL locks what a body
-- refers to when it creates the function.
create or replace function entity_stats.nodes()
returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    with recursive tree as (
        select to_regclass('public.killmails') as node
        union all
        select i.inhrelid::regclass as node
        from tree as t
        inner join pg_inherits as i on t.node = i.inhparent
        where not i.inhdetachpending
    )

    select t.node from tree as t;
end;

comment on function entity_stats.nodes() is 'public.killmails and all its partitions, intermediate ones included.';

-- For SQL that is put together: a regclass whose table has been dropped by now is a number, and so a syntax error.
create or replace function entity_stats.name_of(node oid)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    name constant text := (pg_identify_object('pg_class'::regclass, node, 0)).identity;
begin
    if name is null then
        raise exception 'table % is gone', node using errcode = 'undefined_table';
    end if;
    return name;
end
$$;

comment on function entity_stats.name_of(oid) is 'The name of a table, with its schema, quoted where it must be; undefined_table when somebody has dropped it.';
