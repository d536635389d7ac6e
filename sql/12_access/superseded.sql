-- A function that this deployment did not define is one of an earlier version: upgraded is as fresh. It is only marked here, because it
-- may be running, or be called by one that is: drop_superseded() drops it after the COMMIT.
do $$
declare
    command text;
begin
    for command in
        select format('comment on routine %s is %L', p.oid::regprocedure, 'Superseded.')
        from pg_catalog.pg_proc as p
        where p.pronamespace = 'entity_stats'::regnamespace and p.xmin <> pg_current_xact_id()::xid and p.prorettype <> 'event_trigger'::regtype
    loop
        execute command;
    end loop;
end
$$;
