-- Whether changes of a table are killmails coming or going: not on a detached partition, not when an operator moves rows.
-- Inlined into the triggers, which every statement runs through.
create or replace function entity_stats.captures(table_id oid)
returns boolean
language sql stable
return
coalesce(pg_partition_root(table_id), table_id) = to_regclass('public.killmails') -- a table without partitions has no root
and not (
    coalesce(current_setting('entity_stats.capture', true), '') = 'off'
    and pg_has_role(session_user, 'entity_stats_operator', 'member')
);

comment on function entity_stats.captures(oid) is
'True when table_id belongs to public.killmails and entity_stats.capture is not off (heeded for members of entity_stats_operator only).';
