-- Follows the site's DDL within its transaction: a partition that comes or goes with killmails is captured like their INSERT or
-- DELETE; what cannot be ends the cache's readiness.
-- SECURITY DEFINER: whoever may alter killmails needs no right on the cache.
create or replace function entity_stats.follow_ddl(dropped jsonb)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    known entity_stats.source;
    counts boolean;
    leaf oid;
    reason text;
    present oid [];
begin
    lock table entity_stats.source in row exclusive mode; -- before it is read: REINDEX holds it and waits for readers of its index
    select s.* into known from entity_stats.source as s where s.self = 'entity_stats.source'::regclass;
    if not found then
        return;
    elsif to_regclass('public.killmails') is distinct from known.killmails then
        insert into public.entity_stats_invalidation (reason)
        select 'killmails was renamed or dropped'
        where
            exists (select from entity_stats.state as s where s.status <> 'empty')
            and not exists (select from public.entity_stats_invalidation);
        return;
    end if;

    present := entity_stats.leaves();
    if known.leaves <@ present and present <@ known.leaves then
        return;
    end if;
    counts := entity_stats.is_captured(known.killmails);

    for leaf in select l.leaf from unnest(known.leaves) as l (leaf) where l.leaf <> all(present) loop
        reason := null;
        if dropped ? leaf::text then
            reason := format('partition %s was dropped with its killmails', dropped ->> leaf::text);
        elsif counts and not entity_stats.capture_table(leaf, -1) then
            reason := format('partition %s went', leaf::regclass);
        end if;
        if counts and reason is not null then
            insert into public.entity_stats_invalidation (reason) values (reason);
        end if;
    end loop;

    for leaf in select l.leaf from unnest(present) as l (leaf) where l.leaf <> all(known.leaves) loop
        if counts and not entity_stats.capture_table(leaf, 1) then
            insert into public.entity_stats_invalidation (reason) values (format('partition %s came with killmails in it', leaf::regclass));
        end if;
    end loop;

    update entity_stats.source as s
    set leaves = present, nodes = array(select n.node::oid from entity_stats.nodes() as n (node))
    where s.killmails = known.killmails;
end
$$;

comment on function entity_stats.follow_ddl(jsonb) is
'Captures partitions that have come or gone since the source was recorded, and records them. dropped: object ids and names of tables that this DDL dropped.';
