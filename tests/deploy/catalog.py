"""What a database's catalog says: everything that a deployment could create, change or leave behind."""

from __future__ import annotations

from tests.fixtures.database import Database

#: Kind, name and definition of every object that is not PostgreSQL's own. Access is spelled out: an empty list means the default.
CATALOG = r"""
with acl as (
    select
        a.kind, a.oid, a.part,
        (
            select string_agg(concat_ws(' ', e.grantee::regrole, e.privilege_type, e.is_grantable, 'by', e.grantor::regrole), ', ' order by e::text)
            from aclexplode(a.list) as e
        ) as text
    from (
        select
            'pg_class'::regclass as kind, c.oid, 0 as part,
            coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::"char" else 'r' end, c.relowner)) as list
        from pg_class as c
        union all
        select 'pg_class'::regclass, a.attrelid, a.attnum, a.attacl from pg_attribute as a where a.attacl is not null
        union all
        select 'pg_proc'::regclass, p.oid, 0, coalesce(p.proacl, acldefault('f', p.proowner)) from pg_proc as p
        union all
        select 'pg_namespace'::regclass, n.oid, 0, coalesce(n.nspacl, acldefault('n', n.nspowner)) from pg_namespace as n
        union all
        select 'pg_type'::regclass, t.oid, 0, coalesce(t.typacl, acldefault('T', t.typowner)) from pg_type as t
    ) as a
),

found as (
    select 'schema' as kind, n.nspname::text as name, concat_ws(' | ', n.nspowner::regrole, a.text) as definition, n.oid, 'pg_namespace' as class
    from pg_namespace as n
    left join acl as a on n.oid = a.oid and a.kind = 'pg_namespace'::regclass
    where n.nspname !~ '^pg_(toast|temp)'
    union all
    select
        'relation', format('%s.%s', c.relnamespace::regnamespace, c.relname),
        concat_ws(
            ' | ', c.relkind, c.relpersistence, c.relowner::regrole, c.reloptions, c.relrowsecurity, a.text,
            case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
            case when c.relkind in ('i', 'I') then pg_get_indexdef(c.oid) end,
            pg_get_expr(c.relpartbound, c.oid)
        ), c.oid, 'pg_class'
    from pg_class as c
    left join acl as a on c.oid = a.oid and a.kind = 'pg_class'::regclass and a.part = 0
    where c.relkind <> 't'
    union all
    select
        'column', format('%s.%s.%s', c.relnamespace::regnamespace, c.relname, a.attname),
        concat_ws(
            ' | ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attcollation::regcollation,
            pg_get_expr(d.adbin, d.adrelid), l.text, col_description(c.oid, a.attnum)
        ), null, null
    from pg_attribute as a
    inner join pg_class as c on a.attrelid = c.oid
    left join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
    left join acl as l on c.oid = l.oid and l.kind = 'pg_class'::regclass and a.attnum = l.part
    where a.attnum > 0 and not a.attisdropped and c.relkind <> 't'
    union all
    select
        'function', p.oid::regprocedure::text,
        concat_ws(' | ', case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end, p.proowner::regrole, a.text), p.oid, 'pg_proc'
    from pg_proc as p
    left join acl as a on p.oid = a.oid and a.kind = 'pg_proc'::regclass
    union all
    select 'type', t.oid::regtype::text, concat_ws(' | ', t.typtype, t.typowner::regrole, a.text), t.oid, 'pg_type'
    from pg_type as t
    left join acl as a on t.oid = a.oid and a.kind = 'pg_type'::regclass
    where t.typrelid = 0 or t.typtype = 'c'
    union all
    select
        'trigger', format('%s on %s', t.tgname, t.tgrelid::regclass),
        concat_ws(' | ', pg_get_triggerdef(t.oid), t.tgenabled, t.tgdeferrable, t.tginitdeferred), t.oid, 'pg_trigger'
    from pg_trigger as t
    where not t.tgisinternal
    union all
    select 'constraint', format('%s on %s', c.conname, c.conrelid::regclass), pg_get_constraintdef(c.oid), c.oid, 'pg_constraint'
    from pg_constraint as c
    where c.contype <> 't'
    union all
    select
        'default access', concat_ws(' ', d.defaclrole::regrole, d.defaclnamespace::regnamespace, d.defaclobjtype), d.defaclacl::text, null, null
    from pg_default_acl as d
    union all
    select
        'role', r.rolname,
        concat_ws(' | ', r.rolsuper, r.rolcreaterole, r.rolcanlogin, r.rolconfig, shobj_description(r.oid, 'pg_authid')), null, null
    from pg_roles as r
    where r.rolname !~ '^pg_'
    union all
    select 'membership', format('%s of %s', m.member::regrole, m.roleid::regrole), concat_ws(' | ', m.admin_option), null, null
    from pg_auth_members as m
    where m.member >= 16384
)

select f.kind, f.name, f.definition || coalesce(' | ' || obj_description(f.oid, f.class), '') as definition
from found as f
where f.name !~ '^(pg_catalog|information_schema|pg_toast)\M'
order by f.kind, f.name, f.definition
"""


def catalog(database: Database) -> set[tuple[str, str, str]]:
    """All objects of a database and the roles of its server: kind, name, definition with owner, access and comment."""
    with database.connect(options="-c search_path=pg_catalog") as session:
        return {(kind, name, definition) for kind, name, definition in session.execute(CATALOG)}
