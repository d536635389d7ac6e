-- What has become of killmails since the cache was deployed or built: the one place that knows what can make its figures wrong
-- without a fact that tells of it. The catalog only; killmails is not locked.
create or replace function entity_stats.is_filled(leaf oid)
returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
set row_security = off
set lock_timeout = '50ms'
as $$
declare
    filled boolean;
begin
    execute format('select exists (select from only %s)', entity_stats.name_of(leaf)) into filled;
    return filled;
exception
    when lock_not_available or insufficient_privilege or undefined_table then
        return null;
end
$$;

comment on function entity_stats.is_filled(oid) is
'Whether a partition holds killmails; null when it cannot be told now: it is locked, not ours to read yet, or gone.';

create or replace function entity_stats.source_changes()
returns table (change text, remedy text, blocking boolean, lasting boolean, leaf oid)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    with now_there as materialized (
        select to_regclass('public.killmails')::oid as killmails
    ),

    recorded as materialized (
        select s.* from entity_stats.source as s where s.self = 'entity_stats.source'::regclass
    ),

    tree as materialized (
        select
            c.oid, c.relname, c.relkind, c.relrowsecurity
        from entity_stats.nodes() as n (node)
        inner join pg_class as c on n.node = c.oid
    ),

    needed as materialized (
        select c.* from entity_stats.needed_columns() as c cross join now_there as w where w.killmails is not null
    ),

    found as (
        select
            1 as place, 'table public.killmails is gone' as change,
            'rename it back, or deploy again when there is a new one' as remedy,
            true as blocking, true as lasting, null::oid as leaf
        from now_there as w
        where w.killmails is null
        union all
        select
            2, 'killmails is another table since the cache was deployed', 'deploy again, then call entity_stats.backfill()',
            true, true, null
        from now_there as w
        inner join recorded as r on w.killmails <> r.killmails
        union all
        select
            3, format(
                case count(*) when 1 then 'column %s of killmails is gone' else 'columns %s of killmails are gone' end,
                string_agg(quote_ident(c.name), ', ' order by c.name)
            ),
            format(
                'give killmails %s, names are case-sensitive',
                string_agg(format('%I (%s)', c.name, c.types[1]), ', ' order by c.name)
            ),
            true, false, null
        from needed as c
        where c.attnum is null
        having count(*) > 0
        union all
        select
            4, string_agg(
                format('column %I of killmails is %s, not %s', c.name, c.shown, array_to_string(c.types, ' or ')), ', ' order by c.name
            ),
            'change the type with ALTER TABLE public.killmails ALTER COLUMN ... TYPE ...',
            true, false, null
        from needed as c
        where c.attnum is not null and c.type <> all(c.types)
        having count(*) > 0
        union all
        select
            5, format('changes of %s cannot be captured: it is a %s', t.oid::regclass, k.kind),
            'statement triggers with transition tables need tables, plain or partitioned, in this database',
            true, true, null
        from tree as t
        inner join (values ('v', 'view'), ('m', 'materialized view'), ('f', 'foreign table')) as k (relkind, kind)
            on t.relkind::text = k.relkind
        union all
        select
            6, format('tables inherit from %s, and changes of them cannot be captured', t.oid::regclass),
            'make them partitions (PARTITION BY RANGE, ATTACH PARTITION)',
            true, true, null
        from tree as t
        inner join now_there as w on t.oid = w.killmails
        where t.relkind = 'r' and exists (select from pg_inherits as i where i.inhparent = t.oid)
        union all
        select
            7, 'row-level security of public.killmails hides killmails from the cache'
            || coalesce(
                format(' (policy %s)', (select string_agg(quote_ident(p.polname), ', ' order by p.polname) from pg_policy as p where p.polrelid = t.oid)),
                ''
            ),
            'ALTER TABLE public.killmails DISABLE ROW LEVEL SECURITY, or give readers a view with the restriction',
            true, false, null
        from tree as t
        inner join now_there as w on t.oid = w.killmails
        where t.relrowsecurity
        union all
        select
            8, format(
                'killmails is filled by logical replication, which fires no statement triggers (subscription %s)',
                string_agg(distinct quote_ident(s.subname), ', ')
            ),
            'deploy the cache on the publisher, or drop the subscription and call entity_stats.backfill()',
            true, true, null
        from pg_subscription_rel as l
        inner join pg_subscription as s on l.srsubid = s.oid
        where l.srrelid in (select t.oid from tree as t)
        having count(*) > 0
        union all
        select
            9, string_agg(
                case
                    when r.columns -> c.name ->> 1 <> c.shown
                        then format('column %I of killmails was %s and is %s', c.name, r.columns -> c.name ->> 1, c.shown)
                    else format('column %I of killmails is another one since the cache was built', c.name)
                end, ', ' order by c.name
            ),
            'call entity_stats.backfill()', false, true, null
        from needed as c
        inner join recorded as r on r.columns ? c.name
        where c.type = any(c.types) and r.columns -> c.name <> jsonb_build_array(c.attnum, c.shown)
        having count(*) > 0
        union all
        select
            10, format(
                'triggers that capture killmails were disabled or dropped (%s), and killmails can have slipped by',
                string_agg(distinct t.oid::regclass::text, ', ')
            ),
            'call entity_stats.backfill()', false, true, null
        from recorded as r
        inner join tree as t on t.oid = any(r.nodes)
        cross join (values ('insert'), ('update'), ('delete'), ('truncate')) as e (event)
        where
            not exists (
                select
                from pg_trigger as g
                where g.tgrelid = t.oid and g.tgname = 'trigger_update_entity_stats_on_' || e.event and g.tgenabled = 'A'
            )
        having count(*) > 0
        union all
        select
            11, format('partition %s went', l.leaf::regclass), 'call entity_stats.backfill()', false, true, null
        from recorded as r
        cross join lateral unnest(r.leaves) as l (leaf)
        inner join now_there as w on r.killmails = w.killmails
        where l.leaf not in (select t.oid from tree as t)
        union all
        select
            12, format('partition %s came with killmails in it', l.leaf::regclass),
            'call entity_stats.look_at_source()', false, true, l.leaf
        from (
            select t.oid as leaf
            from recorded as r
            inner join now_there as w on r.killmails = w.killmails
            inner join tree as t on t.relkind <> 'p' and t.oid <> all(r.leaves)
            offset 0 -- a look into a table locks it: into those that are new only
        ) as l
        where entity_stats.is_filled(l.leaf)
    )

    select f.change, f.remedy, f.blocking, f.lasting, f.leaf
    from found as f
    order by f.place;
end;

comment on function entity_stats.source_changes() is
'How killmails differs from when the cache was deployed or built, gravest first: the change and its remedy in words, whether killmails cannot be trusted until it is repaired, whether figures stay wrong even then, the partition that was added.';

create or replace function entity_stats.source_change()
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select c.change || ': ' || c.remedy from entity_stats.source_changes() as c limit 1;
end;

comment on function entity_stats.source_change() is
'How killmails has changed since the cache was deployed or built, and what to do, in one sentence; null: not at all.';

create or replace function entity_stats.require_source(as_built boolean default true)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found record;
begin
    select c.* into found
    from entity_stats.source_changes() as c
    where as_built or c.blocking
    limit 1;

    if found.change is not null then
        raise exception '%', found.change using errcode = 'invalid_table_definition', hint = found.remedy;
    end if;
end
$$;

comment on function entity_stats.require_source(boolean) is
'Raises invalid_table_definition (42P16) when killmails is not what the cache was built from; as_built false: only when it cannot be trusted, so that figures computed now would be wrong, too.';

-- Deployment needs killmails that can be read for what they are. A table that has taken the place of another is deployed on.
do $$
declare
    found record;
begin
    select c.* into found
    from entity_stats.source_changes() as c
    where c.blocking and c.change <> 'killmails is another table since the cache was deployed'
    limit 1;

    if found.change is not null then
        raise exception '%', found.change
            using errcode = 'invalid_table_definition', hint = format('To deploy: %s, then deploy again.', found.remedy);
    end if;
end
$$;
