-- A site may publish all its tables (change capture, upgrades by logical replication): then a table whose rows are updated or deleted
-- must say how its rows are told apart, or those statements fail.
do $$
declare
    anonymous regclass;
begin
    for anonymous in
        select c.oid::regclass
        from pg_catalog.pg_class as c
        where
            c.oid in (select o.object from entity_stats.deployed_relations() as o (object))
            and c.relkind = 'r'
            and c.relpersistence = 'p'
            and c.relreplident = 'd'
            and not exists (select from pg_catalog.pg_index as i where i.indrelid = c.oid and i.indisprimary)
    loop
        execute format('alter table %s replica identity full', anonymous);
    end loop;
end
$$;
