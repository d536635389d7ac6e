-- Whether changes of a table are killmails coming or going: not on a detached partition, not when an operator moves rows.
-- Inlined into the triggers, which every statement runs through; what is rare is asked for in functions of its own.
create or replace function entity_stats.is_operator()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    -- Whoever owns the schema is the operators' role, whatever it is called by now.
    select pg_has_role(session_user, n.nspowner, 'member') from pg_namespace as n where n.nspname = 'entity_stats';
end;

comment on function entity_stats.is_operator() is 'True when whoever has logged in is a member of the role that owns the cache.';

create or replace function entity_stats.note_replication()
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from pg_stat_get_subscription(null) as s where s.pid = pg_backend_pid()) then
        insert into public.entity_stats_invalidation (reason)
        select 'killmails were copied by logical replication'
        where not exists (select from public.entity_stats_invalidation);
    end if;
    return true;
end
$$;

comment on function entity_stats.note_replication() is
'Invalidates the cache when this is a worker of logical replication: it copies killmails through our triggers, and later ones past them. Always true.';

create or replace function entity_stats.is_captured(table_id oid)
returns boolean
language sql volatile
return
coalesce(pg_partition_root(table_id), table_id) = to_regclass('public.killmails') -- a table without partitions has no root
and not (coalesce(current_setting('entity_stats.capture', true), '') = 'off' and entity_stats.is_operator())
and (current_setting('session_replication_role') <> 'replica' or entity_stats.note_replication());

comment on function entity_stats.is_captured(oid) is
'True when table_id belongs to public.killmails and entity_stats.capture is not off (heeded for members of entity_stats_operator only).';
