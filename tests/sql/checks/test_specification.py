"""The statements of the specification that are complete run as they stand there."""

from __future__ import annotations

import re

import pytest
from pglast import ast
from pglast.parser import ParseError, parse_sql

from tests.fixtures.database import ROOT, SQL, Database
from tests.sql.checks.claims import offences

SPECIFICATION = ROOT.parent / "shared" / "spec" / "entity-stats-cache-system.md"

pytestmark = pytest.mark.skipif(
    not SPECIFICATION.exists(), reason=f"the specification is not beside the repository: {SPECIFICATION.name}"
)


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", SPECIFICATION.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def statements(*kinds: type) -> list[str]:
    """The complete statements of some kinds, from SQL blocks and psql -c commands; an EXPLAIN is what it explains."""
    texts = [text for block in blocks("sql") for text in re.sub(r"^\\.*$", "", block, flags=re.MULTILINE).split(";")]
    texts += re.findall(r'psql [^"\n]*-c "([^\\"]+)"', "\n".join(blocks("bash")))
    found = []
    for text in texts:
        try:
            parsed = [raw.stmt for raw in parse_sql(text)]
        except ParseError:
            continue  # with an ellipsis where the reader's own columns go
        if any(
            isinstance(statement.query if isinstance(statement, ast.ExplainStmt) else statement, kinds)
            for statement in parsed
        ):
            found.append(text.strip())
    return found


@pytest.fixture
def spec_ready(ready: Database) -> Database:
    """A ready world with the entities that the specification asks about."""
    ready.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "topAttackerCharacterId", "victimAllianceId", "totalValue")
        values (1, now() - interval '1 day', 123456, 99003581, 5), (2, now() - interval '200 days', 777, null, 5)
        """
    )
    return ready


def test_queries(spec_ready: Database) -> None:
    """Each runs in a read-only transaction; those with a known answer give it."""
    answers = {}
    for statement in statements(ast.SelectStmt):
        with spec_ready.connect(autocommit=False) as session:
            session.execute("set transaction read only")
            answers[statement] = session.execute(statement).fetchall()
    assert len(answers) == 9, list(answers)

    def answer(part: str) -> list[tuple[object, ...]]:
        [rows] = [rows for statement, rows in answers.items() if part in statement]
        return rows

    assert len(answer("GROUP BY")) == 3
    assert len(answer("LIMIT 5")) == 5
    assert answer('"entityId" = 99003581')[0][:2] == (99003581, "alliance")
    assert answer('"kills14d" > "kills30d"') == [], "14d <= 30d"
    assert len(answer("pg_trigger")) == spec_ready.value("select count(*) from entity_stats.nodes()")
    assert answer("180 days") == [(0,)], "the specification's count misses an entity that has never lost; ours does not"
    assert spec_ready.value("select sum(i.inactive) from entity_stats.inactive_entities() as i") >= 1


def test_maintenance(spec_ready: Database) -> None:
    """REINDEX and ANALYZE, and a trigger that was dropped and deployed again."""
    for statement in statements(ast.ReindexStmt, ast.VacuumStmt):
        spec_ready.execute(statement)
    [drop] = statements(ast.DropStmt)
    spec_ready.execute(drop)
    assert set(offences(spec_ready)) == {"cache_is_ready", "killmails_are_guarded"}
    spec_ready.load(SQL / "deploy.sql")
    spec_ready.execute("call entity_stats.backfill()")  # only a recount knows what has slipped by
    assert offences(spec_ready) == {}


def test_psql_commands(ready: Database) -> None:
    text = "\n".join(blocks("sql") + blocks("bash"))
    commands = set(re.findall(r"\\d[a-z]* \w+", text))
    assert commands == {r"\d entity_stats_cache", r"\df update_entity_stats_on_insert"}
    for command in sorted(commands):
        result = ready.psql("-c", command)
        assert (result.returncode, result.stderr) == (0, "")
        assert command.split()[1] in result.stdout


def test_cache_table_has_the_columns(ready: Database) -> None:
    """Those that the specification spells out, and the same pattern for each window; behind them, one for the leaderboards."""
    [ddl] = [block for block in blocks("sql") if block.startswith("CREATE TABLE entity_stats_cache")]
    named = re.findall(r'^  "(\w+)" (\w+)', ddl, re.MULTILINE)
    counters = [name.removesuffix("All") for name, _ in named if name.endswith("All")]
    expected = {name: type_.lower() for name, type_ in named}
    for window in ("90d", "30d", "14d"):
        expected |= {f"{counter}{window}": expected[f"{counter}All"] for counter in counters}
    columns = ready.fetch(
        """
        select a.attname, replace(format_type(a.atttypid, null), ' without time zone', '') from pg_attribute as a
        where a.attrelid = 'public.entity_stats_cache'::regclass and a.attnum > 0 and not a.attisdropped
        order by a.attnum
        """
    )
    assert len(counters) == 8
    assert columns.pop() == ("leads", "smallint")
    assert dict(columns) == expected
