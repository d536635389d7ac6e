-- What a build cannot survive, because no fact tells of it: TRUNCATE of much, partitions that came or went with killmails, a
-- move to another server, where its snapshots mean nothing.
create or replace function entity_stats.leaves()
returns oid[]
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select array_agg(n.node::oid order by n.node::oid)
    from entity_stats.nodes() as n (node)
    inner join pg_class as c on n.node = c.oid
    where c.relkind <> 'p';
end;

comment on function entity_stats.leaves() is 'The tables that hold the killmails.';

create or replace function entity_stats.disturbance()
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    reason text;
    known oid [];
    leaf oid;
    filled boolean;
begin
    select i.reason into reason from entity_stats.invalidation as i order by i.at limit 1;
    if found then
        return reason;
    end if;

    if (select s."systemIdentifier" <> c.system_identifier from entity_stats.state as s cross join pg_control_system() as c) then
        return 'it was begun on another server';
    end if;

    select s.leaves into known from entity_stats.state as s;
    for leaf in
        select unnest(known)
        except
        select unnest(entity_stats.leaves())
    loop
        return format('partition %s went', leaf::regclass);
    end loop;

    -- An empty partition is no harm. Of killmails in a new one nobody knows whether they were captured or came along with it.
    for leaf in
        select unnest(entity_stats.leaves())
        except
        select unnest(known)
    loop
        execute format('select exists (select from only %s)', leaf::regclass) into filled;
        if filled then
            return format('partition %s came with killmails in it', leaf::regclass);
        end if;
    end loop;

    return null;
end
$$;

comment on function entity_stats.disturbance() is
'Why the running build cannot go on: TRUNCATE, a partition that went, one with killmails that came, another server; null when it can.';

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
            using errcode = 'object_not_in_prerequisite_state', hint = 'Run the backfill again: it starts anew.';
    end if;
end
$$;

comment on function entity_stats.refuse_disturbed() is 'Raises object_not_in_prerequisite_state (55000) when the running build cannot go on.';
