-- What a build cannot survive, because no fact tells of it: whatever has invalidated the cache or changed the source since the build
-- began, a move to another server, where its snapshots mean nothing.
create or replace function entity_stats.disturbance()
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    reason text;
begin
    select i.reason into reason from public.entity_stats_invalidation as i order by i.at limit 1;
    if found then
        return reason;
    end if;

    if (select s."systemIdentifier" <> c.system_identifier from entity_stats.state as s cross join pg_control_system() as c) then
        return 'it was begun on another server';
    end if;

    return (select c.change from entity_stats.source_changes() as c limit 1);
end
$$;

comment on function entity_stats.disturbance() is
'Why the running build cannot go on: TRUNCATE, a change of the source, another server; null when it can.';

create or replace function entity_stats.refuse_disturbed()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    reason constant text := entity_stats.disturbance();
begin
    if reason is not null then
        raise exception 'the backfill cannot go on: %', reason
            using errcode = 'object_not_in_prerequisite_state', hint = 'call entity_stats.backfill() again: it starts from scratch.';
    end if;
end
$$;

comment on function entity_stats.refuse_disturbed() is 'Raises object_not_in_prerequisite_state (55000) when the running build cannot go on.';
