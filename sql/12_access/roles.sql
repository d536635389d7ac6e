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

    -- Whoever deploys must be able to hand its objects over.
    if not pg_has_role(current_user, 'entity_stats_operator', 'usage') then
        execute format('grant entity_stats_operator to %I', current_user);
    end if;
    if not has_schema_privilege('entity_stats_operator', 'public', 'create') then
        if not has_schema_privilege('public', 'create with grant option') then
            raise insufficient_privilege;
        end if;
        grant create on schema public to entity_stats_operator;
    end if;
exception
    when insufficient_privilege then
        raise exception 'role % may not create the roles of the cache, or may not grant them what they need', current_user
            using errcode = 'insufficient_privilege',
                hint = format(
                    'Ask an administrator: create role entity_stats_reader nologin; create role entity_stats_operator nologin; '
                    'grant entity_stats_reader to %1$I with admin option; '
                    'grant entity_stats_operator to %1$I; grant create on schema public to entity_stats_operator;', current_user
                );
end
$$;
