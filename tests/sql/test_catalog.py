"""The house rules hold in the deployed catalog, whatever statement made its objects."""

from __future__ import annotations

import pytest

from tests.fixtures.database import Database

#: Our routines: everything in our schemas, and in public what is not an extension's.
ROUTINES = """
with routine as (
    select
        p.oid::regprocedure::text as routine, p.pronamespace::regnamespace::text as schema, p.proacl, p.proowner, p.proconfig,
        p.prosqlbody, p.prokind, obj_description(p.oid, 'pg_proc') as comment,
        case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end as definition
    from pg_proc as p
    inner join pg_namespace as n on p.pronamespace = n.oid
    where n.nspname in ('entity_stats', 'public', 'sample')
        and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
)
"""

PUBLIC_MAY_EXECUTE_NOTHING = """
select r.routine
from routine as r
cross join lateral aclexplode(coalesce(r.proacl, acldefault('f', r.proowner))) as a
where a.grantee = 0
"""

BODIES_THAT_ARE_NOT_INLINED_PIN_THEIR_SEARCH_PATH = """
select r.routine
from routine as r
where
    r.prosqlbody is null
    and r.prokind <> 'a'
    and not exists (select from unnest(r.proconfig) as c where c like 'search_path=%')
    and coalesce(r.comment not like '%Inlined%', true) -- what killmails may change under: every name is qualified
    and not (r.prokind = 'p' and r.definition ~* '\\m(commit|rollback|call)\\M')
"""

EVERYTHING_HAS_A_COMMENT = """
select r.routine from routine as r where r.comment is null
union all
select c.oid::regclass::text
from pg_class as c
where
    (c.relnamespace::regnamespace::text in ('entity_stats', 'sample') or c.relname like 'entity\\_stats%')
    and c.relkind in ('r', 'p', 'v', 'm', 'c')
    and coalesce(obj_description(c.oid, 'pg_class'), obj_description(c.reltype, 'pg_type')) is null
union all
select t.oid::regtype::text
from pg_type as t
where t.typnamespace = 'entity_stats'::regnamespace and t.typtype in ('d', 'e', 'r') and obj_description(t.oid, 'pg_type') is null
"""

#: Plans over hundreds of partitions cost a second of JIT compilation wherever the server's default has it on.
#: An inlined function takes the settings of whoever calls it; look-ups by the cache's primary key are never compiled.
WHAT_READS_MUCH_IS_NOT_COMPILED = """
select r.routine
from routine as r
where
    r.schema <> 'sample'
    and r.proconfig is not null
    and 'jit=off' <> all(r.proconfig)
    and r.definition ~ '(from|join|update|lateral)\\s+(public\\.(entity_stats_cache|killmails)|entity_stats\\.(killmail|killmail_party|totals|totals_by_role|truth|cached|drift|differing_cells|staged))\\M'
    and r.routine !~ '^get_(multiple_)?entity_stats_from_cache\\('
"""

RULES = {
    "public may execute nothing": PUBLIC_MAY_EXECUTE_NOTHING,
    "bodies that are not inlined pin their search path": BODIES_THAT_ARE_NOT_INLINED_PIN_THEIR_SEARCH_PATH,
    "everything has a comment": EVERYTHING_HAS_A_COMMENT,
    "what reads much is not compiled": WHAT_READS_MUCH_IS_NOT_COMPILED,
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_the_rule_holds(site: Database, rule: str) -> None:
    assert site.fetch(ROUTINES + rule) == []


FUNCTION = "create function entity_stats.f() returns bigint language {} as $$ {} $$;"
ATOMIC = "create function entity_stats.f() returns bigint language sql begin atomic select 1::bigint; end;"
COMMITS = "create procedure entity_stats.f() language plpgsql as $$ begin {} end $$;"
COUNT = "select count(*) from public.killmails"
AGGREGATE = "create aggregate entity_stats.f (bigint) (sfunc = int8pl, stype = bigint);"
REVOKE = "revoke all on function entity_stats.f() from public;"

#: A rule, statements, and whether these break it.
STATEMENTS = [
    (PUBLIC_MAY_EXECUTE_NOTHING, ATOMIC, True),
    (PUBLIC_MAY_EXECUTE_NOTHING, ATOMIC + REVOKE, False),
    (PUBLIC_MAY_EXECUTE_NOTHING, AGGREGATE, True),
    (
        BODIES_THAT_ARE_NOT_INLINED_PIN_THEIR_SEARCH_PATH,
        FUNCTION.format("plpgsql", "begin return 1; end"),
        True,
    ),
    (BODIES_THAT_ARE_NOT_INLINED_PIN_THEIR_SEARCH_PATH, FUNCTION.format("sql", "select 1::bigint"), True),
    (BODIES_THAT_ARE_NOT_INLINED_PIN_THEIR_SEARCH_PATH, ATOMIC, False),
    (BODIES_THAT_ARE_NOT_INLINED_PIN_THEIR_SEARCH_PATH, AGGREGATE, False),
    (BODIES_THAT_ARE_NOT_INLINED_PIN_THEIR_SEARCH_PATH, COMMITS.format("null;"), True),
    (BODIES_THAT_ARE_NOT_INLINED_PIN_THEIR_SEARCH_PATH, COMMITS.format("commit;"), False),
    (BODIES_THAT_ARE_NOT_INLINED_PIN_THEIR_SEARCH_PATH, COMMITS.format("call entity_stats.f();"), False),
    (EVERYTHING_HAS_A_COMMENT, ATOMIC, True),
    (EVERYTHING_HAS_A_COMMENT, ATOMIC + "comment on function entity_stats.f() is 'x';", False),
    (EVERYTHING_HAS_A_COMMENT, AGGREGATE, True),
    (EVERYTHING_HAS_A_COMMENT, "create table entity_stats.f (n integer);", True),
    (EVERYTHING_HAS_A_COMMENT, "create view public.entity_stats_f as select 1 as n;", True),
    (EVERYTHING_HAS_A_COMMENT, "create type entity_stats.f as (n integer);", True),
    (EVERYTHING_HAS_A_COMMENT, "create type entity_stats.f as enum ('x');", True),
    (
        WHAT_READS_MUCH_IS_NOT_COMPILED,
        FUNCTION.format("sql set search_path = ''", COUNT),
        True,
    ),
    (
        WHAT_READS_MUCH_IS_NOT_COMPILED,
        FUNCTION.format("sql set search_path = '' set jit = off", COUNT),
        False,
    ),
]


@pytest.mark.parametrize(("rule", "statements", "broken"), STATEMENTS)
def test_a_breach_is_found(site: Database, rule: str, statements: str, broken: bool) -> None:
    site.execute(statements)
    assert bool(site.fetch(ROUTINES + rule)) is broken


def test_the_planner_knows_how_small_the_tables_of_one_row_are(site: Database) -> None:
    """Without statistics it takes them for hundreds of rows, and views that join them for so expensive that they are compiled: a minute."""
    rows = site.fetch(
        "select relname, reltuples from pg_class where oid = any(%s::regclass[])",
        [["entity_stats.state", "entity_stats.history"]],
    )
    assert sorted(rows) == [("history", 1), ("state", 1)]
