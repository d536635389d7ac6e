-- What the cache stands on, as it was when the cache was deployed or built: compared with the present before anything writes
-- figures. Object ids mean nothing in a restored copy, where this table's own is another one than it says.
create table if not exists entity_stats.source (
    single boolean primary key default true check (single),
    self oid not null,
    killmails oid not null,
    nodes oid[] not null,
    leaves oid[] not null,
    columns jsonb not null,
    "recordedAt" timestamptz not null default clock_timestamp()
);

comment on table entity_stats.source is 'The killmails that the cache was deployed on or built from: one row.';
comment on column entity_stats.source.self is 'This table: another one in a restored copy, whose ids are not these.';
comment on column entity_stats.source.nodes is 'killmails and all its partitions that have capture triggers.';
comment on column entity_stats.source.leaves is 'Those of them that hold killmails, all of which the cache knows of.';
comment on column entity_stats.source.columns is 'Number and type of each column that the cache reads.';

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

create or replace function entity_stats.needed_columns()
returns table (name text, types regtype[], attnum smallint, type oid, shown text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select
        needed.name,
        needed.types,
        a.attnum,
        a.atttypid as type,
        format_type(a.atttypid, a.atttypmod) as shown
    from (
        values
            ('killmailId', '{bigint,integer}'::regtype[]),
            ('killmailTime', '{timestamptz}'),
            ('topAttackerCharacterId', '{bigint,integer}'),
            ('topAttackerCorporationId', '{bigint,integer}'),
            ('topAttackerAllianceId', '{bigint,integer}'),
            ('victimCharacterId', '{bigint,integer}'),
            ('victimCorporationId', '{bigint,integer}'),
            ('victimAllianceId', '{bigint,integer}'),
            ('totalValue', '{real,double precision,numeric}'),
            ('solo', '{boolean}'),
            ('npc', '{boolean}')
    ) as needed (name, types)
    left join pg_attribute as a
        on needed.name = a.attname and a.attrelid = to_regclass('public.killmails') and a.attnum > 0 and not a.attisdropped;
end;

comment on function entity_stats.needed_columns() is
'The columns of killmails that the cache reads, the types that it can read, and what they are now (null: there is none).';

create or replace function entity_stats.record_source()
returns void
language sql
set search_path = pg_catalog, pg_temp
begin atomic
    insert into entity_stats.source as s (self, killmails, nodes, leaves, columns)
    select
        'entity_stats.source'::regclass as self,
        to_regclass('public.killmails') as killmails,
        (select array_agg(n.node::oid) from entity_stats.nodes() as n (node)) as nodes,
        coalesce(entity_stats.leaves(), '{}') as leaves,
        (select jsonb_object_agg(c.name, jsonb_build_array(c.attnum, c.shown)) from entity_stats.needed_columns() as c) as columns
    on conflict (single) do update
    set
        self = excluded.self,
        killmails = excluded.killmails,
        nodes = excluded.nodes,
        leaves = excluded.leaves,
        columns = excluded.columns,
        "recordedAt" = excluded."recordedAt";
end;

comment on function entity_stats.record_source() is 'Takes what public.killmails is now as what the cache stands on.';
