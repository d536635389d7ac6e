-- A function that this deployment did not define is one of an earlier version: upgraded is as fresh.
do $$
declare
    command text;
begin
    for command in
        select format('drop routine %s', p.oid::regprocedure)
        from pg_catalog.pg_proc as p
        where p.pronamespace = 'entity_stats'::regnamespace and p.xmin <> pg_current_xact_id()::xid and p.prorettype <> 'event_trigger'::regtype
        order by p.oid desc
    loop
        execute command;
    end loop;

    if to_regclass('entity_stats.ledger_before') is not null then
        drop table entity_stats.ledger_before, entity_stats.state_before, entity_stats.time_window_before, entity_stats.parked, entity_stats.overtaking;
    end if;
    -- Of the version that filed leaders by rank.
    if to_regclass('entity_stats.ranked') is not null then
        drop table entity_stats.ranked;
    end if;
    -- What it was before it was a function hung on killmails' columns.
    if to_regclass('entity_stats.killmail') is not null then
        drop view entity_stats.killmail;
    end if;
end
$$;
