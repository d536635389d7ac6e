-- Two roles without login: readers of the API, and operators, who own the objects and run the DAGs' SQL.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['entity_stats_reader', 'entity_stats_operator'] loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = role_name) then
            execute format('create role %I nologin', role_name);
            execute format('comment on role %I is %L', role_name, 'Created by the entity stats cache.');
        end if;
    end loop;
end
$$;

revoke execute on all functions in schema entity_stats from public;
revoke execute on all procedures in schema entity_stats from public;
