-- The operators own everything, so that the functions that act for others (SECURITY DEFINER) have their rights and no more.
-- Nothing is altered that is right already: ALTER ... OWNER would wait for whoever is using the object.
do $$
declare
    operator_oid constant oid := 'entity_stats_operator'::regrole;
    command text;
begin
    if not has_table_privilege('entity_stats_operator', 'public.killmails', 'select') then
        grant select on table public.killmails to entity_stats_operator;
    end if;

    for command in
        select format('alter schema %I owner to entity_stats_operator', n.nspname)
        from pg_catalog.pg_namespace as n
        where n.nspname = 'entity_stats' and n.nspowner <> operator_oid
        union all
        select format(
            'alter %s %s owner to entity_stats_operator',
            case p.prokind when 'p' then 'procedure' else 'function' end, p.oid::regprocedure
        )
        from pg_catalog.pg_proc as p
        where p.oid in (select o.object from entity_stats.deployed_functions() as o (object)) and p.proowner <> operator_oid
        union all
        select format('alter %s %s owner to entity_stats_operator', case c.relkind when 'v' then 'view' else 'table' end, c.oid::regclass)
        from pg_catalog.pg_class as c
        where
            c.oid in (select o.object from entity_stats.deployed_relations() as o (object))
            and c.relkind <> 'c'
            and c.relowner <> operator_oid
        union all
        select format('alter type %s owner to entity_stats_operator', t.oid::regtype)
        from pg_catalog.pg_type as t
        inner join pg_catalog.pg_class as c on t.typrelid = c.oid
        where t.typnamespace = 'entity_stats'::regnamespace and c.relkind = 'c' and t.typowner <> operator_oid
    loop
        execute command;
    end loop;
end
$$;
