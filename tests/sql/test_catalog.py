"""The house rules hold in the deployed catalog, whatever statement made its objects."""

from __future__ import annotations

from tests.database import Database

#: Our routines: everything in our schema, and in public what is not the sample's or an extension's.
ROUTINES = """
with routine as (
    select
        p.oid::regprocedure::text as routine, p.proacl, p.proowner, p.proconfig, p.prosqlbody, p.prokind,
        pg_get_functiondef(p.oid) as definition, obj_description(p.oid, 'pg_proc') as comment
    from pg_proc as p
    inner join pg_namespace as n on p.pronamespace = n.oid
    where n.nspname in ('entity_stats', 'public') and p.prokind <> 'a'
        and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
)
"""


def test_public_may_execute_nothing(site: Database) -> None:
    rows = site.fetch(
        ROUTINES
        + """
        select r.routine
        from routine as r
        cross join lateral aclexplode(coalesce(r.proacl, acldefault('f', r.proowner))) as a
        where a.grantee = 0
        """
    )
    assert rows == []


def test_bodies_that_are_not_inlined_pin_their_search_path(site: Database) -> None:
    rows = site.fetch(
        ROUTINES
        + """
        select r.routine
        from routine as r
        where
            r.prosqlbody is null
            and not exists (select from unnest(r.proconfig) as c where c like 'search_path=%')
            and coalesce(r.comment not like '%Inlined%', true) -- what killmails may change under: every name is qualified
            and not (r.prokind = 'p' and r.definition ~* '\\m(commit|rollback|call)\\M')
        """
    )
    assert rows == []


def test_everything_has_a_comment(site: Database) -> None:
    rows = site.fetch(
        ROUTINES
        + """
        select r.routine from routine as r where r.comment is null
        union all
        select c.oid::regclass::text
        from pg_class as c
        where
            (c.relnamespace = 'entity_stats'::regnamespace or c.relname like 'entity\\_stats%')
            and c.relkind in ('r', 'p', 'v', 'm', 'c')
            and coalesce(obj_description(c.oid, 'pg_class'), obj_description(c.reltype, 'pg_type')) is null
        """
    )
    assert rows == []


def test_what_reads_much_is_not_compiled(site: Database) -> None:
    """Plans over hundreds of partitions cost a second of JIT compilation wherever the server's default has it on.

    An inlined function takes the settings of whoever calls it; look-ups by the cache's primary key are never compiled.
    """
    rows = site.fetch(
        ROUTINES
        + """
        select r.routine
        from routine as r
        where
            r.proconfig is not null
            and 'jit=off' <> all(r.proconfig)
            and r.definition ~ '(from|join|update|lateral)\\s+(public\\.(entity_stats_cache|killmails)|entity_stats\\.(killmail|killmail_party|totals|totals_by_role|truth|cached|drift|differing_cells|staged))\\M'
            and r.routine !~ '^get_(multiple_)?entity_stats_from_cache\\('
        """
    )
    assert rows == []


def test_the_planner_knows_how_small_the_tables_of_one_row_are(site: Database) -> None:
    """Without statistics it takes them for hundreds of rows, and views that join them for so expensive that they are compiled: a minute."""
    rows = site.fetch(
        "select relname, reltuples from pg_class where oid = any(%s::regclass[])",
        [["entity_stats.state", "entity_stats.history"]],
    )
    assert sorted(rows) == [("history", 1), ("state", 1)]
