"""Who may do what: enumerated from the catalog, then tried."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.fixtures.database import STRANGER, WRITER, Database
from tests.fixtures.worlds import Worlds
from tests.sql.reads.test_reads import everything

#: All that readers have.
READ_API = {
    "get_entity_stats(bigint,text,text)",
    "get_entity_stats_from_cache(bigint,text,text)",
    "get_entity_stats_from_view(bigint,text,text)",
    "get_entity_stats_for_window(bigint,text,interval)",
    "explain_entity_stats(bigint,text,text)",
    "get_counted_killmails(bigint,text,text,integer,timestamp with time zone,bigint)",
    "get_character_stats_from_cache(bigint,text)",
    "get_corporation_stats_from_cache(bigint,text)",
    "get_alliance_stats_from_cache(bigint,text)",
    "get_entity_history(bigint,text,text,date,date,boolean)",
    "get_multiple_entity_history(bigint[],text,text,date,date,boolean)",
    "get_entity_history_from_view(bigint,text,text,date,date,boolean)",
    "get_entity_first_times(bigint,text)",
    "get_multiple_entity_stats_from_cache(bigint[],text,text)",
    "get_top_entities_from_cache(text,text,text,text,integer,bigint)",
    "get_top_entities_by_kills_from_cache(text,text,integer,text)",
    "get_top_entities_by_efficiency_from_cache(text,text,bigint,integer,text)",
    "get_entity_rank(bigint,text,text)",
    "is_stats_cache_populated()",
    "get_stats_cache_summary()",
}
VIEWS = {"character_stats", "corporation_stats", "alliance_stats", "entity_months", "entity_days"}

#: Functions that a role may execute and reach by name.
EXECUTABLE = """
select p.oid::regprocedure::text
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
where
    n.nspname in ('entity_stats', 'public')
    and has_schema_privilege(%(role)s, n.oid, 'usage')
    and has_function_privilege(%(role)s, p.oid, 'execute')
"""

#: Tables and views that a role may do anything to and reach by name.
TOUCHABLE = """
select c.oid::regclass::text, r.right
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as r ("right")
where
    n.nspname in ('entity_stats', 'public')
    and c.relkind in ('r', 'p', 'v', 'm')
    and has_schema_privilege(%(role)s, n.oid, 'usage')
    and (
        has_table_privilege(%(role)s, c.oid, r.right)
        or r.right in ('select', 'insert', 'update', 'references') and has_any_column_privilege(%(role)s, c.oid, r.right)
    )
"""

READER = "page"


@pytest.fixture(scope="module")
def world(worlds: Worlds) -> Iterator[Database]:
    with worlds.ready() as database:
        if not database.fetch("select from pg_roles where rolname = %s", [READER]):
            database.execute(f"create role {READER} login in role entity_stats_reader")
        yield database


def executable(database: Database, role: str) -> set[str]:
    return {str(name) for [name] in database.fetch(EXECUTABLE, {"role": role})}


def touchable(database: Database, role: str) -> set[tuple[str, str]]:
    return {(str(name), str(right)) for name, right in database.fetch(TOUCHABLE, {"role": role})}


#: Functions of schema entity_stats that the views are made of.
MADE_OF = {
    f"entity_stats.{name}"
    for name in (
        "source_stats",
        "stats",
        "truth",
        "totals",
        "killmail_party",
        "killmail",
        "isk",
        "cents",
        "totals_by_date",
        "parties",
        "facts_aside",
        "closed_to",
        "midnight",
    )
}


def test_readers_have_the_read_api_and_the_views(world: Database) -> None:
    """And by name what the views are made of, which reads the same killmails."""
    internals = {function for function in executable(world, READER) if function.startswith("entity_stats.")}
    assert {function.split("(")[0] for function in internals} == MADE_OF
    assert executable(world, READER) - internals == READ_API
    assert touchable(world, READER) == {(view, "select") for view in (*VIEWS, "entity_stats.time_window", "killmails")}


def test_strangers_have_nothing(world: Database) -> None:
    assert executable(world, STRANGER) == set()
    assert touchable(world, STRANGER) == set()


def test_the_ingesting_role_has_killmails_and_nothing_else(world: Database) -> None:
    assert executable(world, WRITER) == set()
    tables = {table for table, _ in touchable(world, WRITER)}
    assert tables
    assert {table for table in tables if not table.startswith("killmails")} == set()


def test_operators_have_everything_of_ours(world: Database) -> None:
    operator = "entity_stats_operator"
    ours = {
        str(name)
        for [name] in world.fetch("select o.f::regprocedure::text from entity_stats.deployed_functions() as o (f)")
    }
    assert executable(world, operator) == {*ours, "entity_stats.watch_ddl()"}
    rows = world.fetch(
        """
        select c.oid::regclass
        from pg_class as c
        where c.relnamespace = 'entity_stats'::regnamespace and c.relkind in ('r', 'p', 'v')
            and pg_get_userbyid(c.relowner) <> %s
        """,
        [operator],
    )
    assert rows == []
    assert (
        world.fetch(
            "select from pg_class where oid = 'public.killmails'::regclass and "
            "(has_table_privilege(%(role)s, oid, 'insert') or has_table_privilege(%(role)s, oid, 'update') "
            "or has_table_privilege(%(role)s, oid, 'delete') or has_table_privilege(%(role)s, oid, 'truncate'))",
            {"role": operator},
        )
        == []
    )


def test_readers_can_call_it_all(world: Database) -> None:
    with world.connect(user=READER) as session:
        for call in everything():
            assert session.execute(f"select count(*) from {call}").fetchone() is not None
        kills = session.execute("select kills from public.alliance_stats where \"entityId\" = 1 and period = 'all'")
        assert kills.fetchall() == world.fetch(
            'select "killsAll" from entity_stats_cache where "entityId" = 1 and "entityType" = \'alliance\''
        )


@pytest.mark.parametrize(
    "statement",
    [
        "select * from public.killmails",
        'select "killmailId" from public.killmails',
        "select * from public.entity_stats_cache",
        "select * from entity_stats.state",
        "select * from entity_stats.source",
        "select entity_stats.require_source()",
        "select entity_stats.merge('{}')",
        "call entity_stats.backfill()",
        'update public.entity_stats_cache set "killsAll" = 0',
        "create table public.mine ()",
    ],
)
@pytest.mark.parametrize("role", [READER, STRANGER])
def test_neither_reader_nor_stranger_can(world: Database, role: str, statement: str) -> None:
    with world.connect(user=role) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute(statement)


def test_ingest_is_counted_without_any_right_on_the_cache(worlds: Worlds) -> None:
    with worlds.ready() as database, database.connect(user=WRITER) as session:
        for statement in ("select from public.entity_stats_cache", "select public.get_entity_stats(1, 'alliance')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)
        before = database.value("select kills from get_entity_stats_from_cache(1, 'alliance')")
        session.execute(
            'insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId") values (7, now(), 1)'
        )
        assert database.value("select kills from get_entity_stats_from_cache(1, 'alliance')") == before + 1


def test_security_definers_pin_where_names_come_from(world: Database) -> None:
    rows = world.fetch(
        """
        select p.oid::regprocedure
        from pg_proc as p
        where p.oid in (select o.f from entity_stats.deployed_functions() as o (f)) and p.prosecdef
            and not coalesce(p.proconfig, '{}') && array['search_path=pg_catalog, pg_temp']
        """
    )
    assert rows == []


#: Names that our bodies use, made to lie, in a schema that comes first.
LIES = """
create table {schema}.entity_stats_cache ("entityId" bigint);
create table {schema}.killmails ("killmailTime" timestamptz);
create table {schema}.pg_trigger (tgrelid oid, tgname name, tgenabled "char");
create table {schema}.state (single boolean, status text);
create function {schema}.now() returns timestamptz language sql as $$ select '-infinity'::timestamptz $$;
create function {schema}.round(numeric, integer) returns numeric language sql as $$ select -1.0 $$;
create function {schema}.coalesce(numeric, integer) returns numeric language sql as $$ select -1.0 $$;
create function {schema}.sum(numeric) returns numeric language sql as $$ select -1.0 $$;
create function {schema}.eq(bigint, bigint) returns boolean language sql as $$ select true $$;
create operator {schema}.= (leftarg = bigint, rightarg = bigint, function = {schema}.eq);
create function {schema}.plus(numeric, numeric) returns numeric language sql as $$ select -1.0 $$;
create operator {schema}.+ (leftarg = numeric, rightarg = numeric, function = {schema}.plus);
"""


@pytest.mark.parametrize("schema", ["pg_temp", "hostile"])
def test_a_hostile_search_path_changes_no_answer(worlds: Worlds, schema: str) -> None:
    with worlds.ready() as database:
        calls = [f"select * from {call}" for call in everything() if "rank" not in call]
        calls.append("select metric, rank, figure from public.get_entity_rank(1, 'alliance', '30d')")  # not when
        expected = [database.fetch(call) for call in calls]
        with database.connect(user=STRANGER) as session:
            database.execute(f"grant entity_stats_reader to {STRANGER}; create schema hostile authorization {STRANGER}")
            try:
                session.execute(LIES.format(schema=schema))
                session.execute(f"set search_path = {schema}, pg_catalog, public")
                assert [session.execute(call).fetchall() for call in calls] == expected
            finally:
                database.execute(f"revoke entity_stats_reader from {STRANGER}")


INJECTIONS = (
    "'; drop table public.entity_stats_cache; --",
    "alliance' or '1'='1",
    "alliance\\",
    'alliance"',
    "$$; select 1; $$",
    "%s%I%L",
    "alliance\u200b",
    "a" * 100_000,
)


@pytest.mark.parametrize("text", INJECTIONS)
def test_text_arguments_are_values(world: Database, text: str) -> None:
    before = world.value("select md5(string_agg(c::text, ',' order by c::text)) from public.entity_stats_cache as c")
    texts = [
        (name, position)
        for name in READ_API
        for position, kind in enumerate(name.partition("(")[2].rstrip(")").split(","))
        if kind == "text"
    ]
    assert len(texts) == 35
    good = {
        "date": "null",
        "boolean": "false",
        "timestamp with time zone": "null",
        "bigint": "1",
        "text": "'alliance'",
        "integer": "1",
        "bigint[]": "array[1]",
        "interval": "interval '1 day'",
    }
    with world.connect(user=READER) as session:
        for name, position in texts:
            kinds = name.partition("(")[2].rstrip(")").split(",")
            arguments = [good[kind] for kind in kinds]
            for place in range(len(kinds) - 1, -1, -1):
                if kinds[place] == "text":
                    arguments[place] = (
                        "'all'" if place > 0 and (place > 1 or "text" in kinds[:place]) else arguments[place]
                    )
            if "_character_" in name or "_corporation_" in name or "_alliance_" in name:
                arguments[1] = "'all'"
            arguments[position] = "%s"
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                session.execute(f"select * from public.{name.partition('(')[0]}({', '.join(arguments)})", [text])
    after = world.value("select md5(string_agg(c::text, ',' order by c::text)) from public.entity_stats_cache as c")
    assert after == before
