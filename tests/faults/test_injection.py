"""Every statement of the commit path fails in turn, in every way: the ingest commits, and the cache is exact or says that it is stale.

The statements are counted from the functions' own parse trees, so a new one is covered, or fails here. Into the function, before the
statement, goes a call that raises; statements of exception handlers are reached by failing what they handle as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from pglast import parse_plpgsql

from tests.fixtures.database import SQL, WRITER, Database
from tests.fixtures.worlds import Worlds, assert_exact, fold_pending

#: What a killmail's transaction runs through, from its statement to its COMMIT.
FUNCTIONS = [
    "public.update_entity_stats_on_insert()",
    "entity_stats.capture_update()",
    "entity_stats.capture_delete()",
    "entity_stats.capture_truncate()",
    "entity_stats.capture_table(regclass,integer)",
    "entity_stats.fold_at_commit()",
    "entity_stats.fold_own(bigint)",
    "entity_stats.add(entity_stats.fact[],entity_stats.delta[],integer,timestamptz,timestamptz)",
    "entity_stats.merge(entity_stats.fact[],entity_stats.delta[],boolean)",
    "entity_stats.last_times(text,boolean,bigint[],timestamp[])",
    "entity_stats.keep_late(entity_stats.fact[],timestamptz)",
]

#: Errors of any kind, and a cancelled statement, which handlers must name.
FAULTS = ["23514", "57014"]
#: For one statement of each function: a column gone, a privilege revoked, a lock held, no replica identity, out of range, no memory.
MORE_FAULTS = ["42703", "42501", "55P03", "55000", "22003", "53200"]

INSERT = "insert into public.killmails select * from test.killmails({rows}, {seed}, '{youngest}', '{oldest}')"
LEAF = "killmails_new_0"

#: One transaction each, by a role that may only write killmails.
TRANSACTIONS = [
    [INSERT.format(rows=5, seed=11, youngest="0", oldest="1 hour")],
    [INSERT.format(rows=40, seed=12, youngest="0", oldest="300 days")],
    [INSERT.format(rows=3, seed=13, youngest="0", oldest="1 hour"), "set constraints all immediate"],
    ["set constraints all immediate", INSERT.format(rows=3, seed=14, youngest="0", oldest="1 hour")],
    [INSERT.format(rows=3, seed=15, youngest="0", oldest="1 hour"), "insert into test.site values (1)"],
    ["""update public.killmails set "totalValue" = 7.125 where "killmailId" % 9 = 1"""],
    [
        """delete from public.killmails where "killmailTime" = (
            select max(k."killmailTime") from public.killmails as k where k."victimCharacterId" > 0
        )"""
    ],
    ["""delete from public.killmails where "killmailId" % 11 = 1"""],
    [f"truncate public.{LEAF}"],
]
#: More rows than a COMMIT folds, in one statement and in several. They wait, and so come last: deletions would wait behind them.
BULK = [
    [INSERT.format(rows=600, seed=16, youngest="0", oldest="300 days")],
    [
        INSERT.format(rows=300, seed=18, youngest="0", oldest="1 hour"),
        INSERT.format(rows=300, seed=19, youngest="0", oldest="1 hour"),
    ],
]
#: What they run through that the others do not.
OF_BULK = ("update_entity_stats_on_insert", "fold_at_commit", "fold_own")
#: The same while a rebuild retains what is folded.
RETAINED = [INSERT.format(rows=3, seed=20, youngest="0", oldest="1 hour")]
PREPARED = [INSERT.format(rows=3, seed=17, youngest="0", oldest="1 hour"), "prepare transaction 'injected'"]


class Place(NamedTuple):
    """A statement, and those that must fail for it to be reached."""

    function: str
    line: int
    kind: str
    before: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.function.split('(')[0]}:{self.line} {self.kind}"


def statements(node: Any, before: tuple[int, ...] = ()) -> Iterator[tuple[int, str, tuple[int, ...]]]:
    """Line, kind and what must fail before, of each statement below a node of PL/pgSQL's parse tree."""
    if isinstance(node, list):
        for item in node:
            yield from statements(item, before)
    elif isinstance(node, dict):
        for kind, content in node.items():
            if kind.startswith("PLpgSQL_stmt_") and isinstance(content, dict):
                if kind == "PLpgSQL_stmt_block":
                    yield from statements(content.get("body", []), before)
                    first = next((line for line, _, _ in statements(content.get("body", []), before)), None)
                    if "exceptions" in content and first is not None:
                        yield from statements(content["exceptions"], (*before, first))
                    continue
                if "lineno" in content:
                    yield content["lineno"], kind.removeprefix("PLpgSQL_stmt_"), before
                yield from statements(list(content.values()), before)
            else:
                yield from statements(content, before)


def places() -> list[Place]:
    """Every statement of the commit path, from the files."""
    found = []
    for function in FUNCTIONS:
        name = function.split("(")[0].split(".")[1]
        [file] = [
            path
            for path in SQL.rglob("*.sql")
            if path.stem == name or (name == "fold_own" and path.stem == "fold_at_commit")
        ]
        for tree in parse_plpgsql(_definition(file.read_text(), function.split("(")[0])):
            found += [Place(function, *statement) for statement in statements(tree)]
    return found


def _definition(text: str, name: str) -> str:
    begin = text.index(f"create or replace function {name}(")
    # The parser knows no types but PostgreSQL's own; of the text we want the lines only.
    return re.sub(r"\bentity_stats\.(fact|delta|state)\b", "text", text[begin : text.index("\n$$;", begin) + 4])


#: Returning runs nothing that could fail, nor do assignments and warnings in a handler.
PLACES = [
    place
    for place in places()
    if place.kind != "return" and not (place.before and place.kind in ("raise", "assign", "if"))
]
FIRST = {place.function: place for place in reversed(PLACES)}


@pytest.fixture(scope="module")
def world(worlds: Worlds) -> Iterator[Database]:
    """A ready cache, and what makes a statement of ours fail."""
    with worlds.ready("sub-partitioned") as database:
        database.execute(
            f"""
            create sequence test.fired;
            create function test.fail(code text) returns void language plpgsql as $$
            begin perform nextval('test.fired'); raise exception 'injected' using errcode = code; end $$;
            create table test.site (n integer);
            grant insert on test.site to {WRITER};
            grant usage on schema test to public;
            grant usage on sequence test.fired to public;
            """
        )
        database.execute("call entity_stats.fill_history()")
        yield database


@pytest.fixture(scope="module")
def expected(world: Database) -> dict[str, int]:
    """How many killmails there are after the transactions of each function, when nothing fails."""
    _write(world, "capture_truncate")
    _build(world)
    counts: dict[str, int] = {}
    for function in FUNCTIONS:
        _reset(world)
        counts[function] = _write(world, function)
        if "truncate" in function:
            _build(world)
        else:
            assert_exact(world)
    return counts


def test_places_are_all_there() -> None:
    """The parse trees are read as they are meant to be: handlers are among the statements."""
    assert len(PLACES) > 45
    assert any(place.before for place in PLACES)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_never_raises(world: Database, expected: dict[str, int], place: Place) -> None:
    """Whatever fails at this place, the ingest commits, and the cache is exact afterwards, or stale."""
    [(oid, definition)] = world.fetch(
        "select p, pg_get_functiondef(p) from (select %s::regprocedure::oid) as f (p)", [place.function]
    )
    source = world.value("select prosrc from pg_proc where oid = %s", [oid])
    fired = False
    for fault in FAULTS + (MORE_FAULTS if place == FIRST[place.function] else []):
        lines = source.split("\n")
        for line in sorted({place.line, *place.before}, reverse=True):
            lines.insert(line - 1, f"perform test.fail('{fault}');")
        _reset(world)
        world.execute(definition.replace(source, "\n".join(lines)).encode())
        world.execute("alter sequence test.fired restart")
        try:
            written = _write(world, place.function)
        finally:
            world.execute(definition.encode())
        fired = fired or world.value("select is_called from test.fired")
        assert written == expected[place.function]
        if place.before and place.kind == "perform":
            # Neither the ledger nor aside nor the reason could be written: a warning in the log is what there is.
            _build(world)
        elif world.value("select public.is_stats_cache_populated()"):
            assert_exact(world)
        else:
            assert (
                "not captured" in world.value("select s.reason from entity_stats.status() as s")
                or "truncate" in place.function
            )
            _build(world)
        if not fired:
            break
    if not fired and place.kind != "return":
        pytest.fail(f"{place} is not reached by any of the transactions: add one that does")


def _build(world: Database) -> None:
    """Build all anew."""
    world.execute("call entity_stats.backfill(rebuild => true)")
    world.execute("call entity_stats.fill_history()")


def _reset(world: Database) -> None:
    """Take away what the transactions have written."""
    world.execute('delete from public.killmails where "killmailId" > 2000000')
    fold_pending(world)


def _write(world: Database, function: str) -> int:
    """Run the transactions that a function is for; return how many killmails there are then."""
    bulk = BULK if any(name in function for name in OF_BULK) else []
    with world.connect(user=WRITER, autocommit=False) as writer:
        for transaction in [*TRANSACTIONS, *bulk]:
            for statement in transaction:
                writer.execute(statement.encode())
            writer.commit()
        if "truncate" in function:  # not to be enumerated
            for statement in ("set transaction isolation level repeatable read", f"truncate public.{LEAF}"):
                writer.execute(statement.encode())
            writer.commit()
        world.execute("update entity_stats.state set retaining = true")
        writer.execute(RETAINED[0].encode())
        writer.commit()
        world.execute("update entity_stats.state set retaining = false")
        world.execute("delete from entity_stats.ledger where folded")
    with world.connect(user=WRITER) as writer:
        for statement in ["begin", *PREPARED]:
            writer.execute(statement.encode())
        writer.execute("commit prepared 'injected'")
    return int(world.value("select count(*) from public.killmails"))
