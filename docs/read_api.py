"""docs/read-api.md: the read API as the catalog of a deployed database comments it, around examples.

The text around the reference is docs/read-api.in.md; `{reference}` stands for the reference, `{measured}` for what
`make bench-reads` has written, `{result}` for what the example before it answers in a small world of generated
killmails, which are the same on every server.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import psycopg

HERE = Path(__file__).resolve().parent
PAGE = HERE / "read-api.md"
MEASURED = HERE / "benchmarks" / "reads.md"
FRAME = HERE / "read-api.in.md"

#: The small world: two years, as of the night after them; ranks of that night and of the one before.
WORLD = (
    "select sample.generate_killmails(20000, '2023-01-01 00:00:00+00', '2025-01-01 00:00:00+00')",
    "vacuum (analyze) public.killmails",
    "call entity_stats.backfill(as_of => '2024-12-31 02:00:00+00')",
    "call entity_stats.rank_entities()",
    "call entity_stats.age_windows(as_of => '2025-01-01 02:00:00+00')",
    "call entity_stats.rank_entities()",
    "call entity_stats.fill_history(as_of => '2025-01-01 02:00:00+00')",
)

#: An example whose result the page shows.
EXAMPLE = re.compile(r"```(sql|python)\n((?:(?!```).)*)```\n\n\{result\}", re.DOTALL)

#: What readers may call and read: granted to them, in schema public.
FUNCTIONS = """
select
    p.proname,
    pg_get_function_arguments(p.oid),
    case when p.proretset then 'rows' else pg_get_function_result(p.oid) end,
    obj_description(p.oid, 'pg_proc')
from pg_proc as p
where p.pronamespace = 'public'::regnamespace and has_function_privilege('entity_stats_reader', p.oid, 'execute')
    and not has_function_privilege('public', p.oid, 'execute')
order by
    case
        when p.proname = 'get_entity_stats' then 1
        when p.proname like 'get%stats_from_cache' then 2
        when p.proname like '%stats_from_view' then 3
        when p.proname like '%window' then 4
        when p.proname like '%top%' then 5
        when p.proname like '%history%' or p.proname like '%first%' then 6
        when p.proname in ('explain_entity_stats', 'get_counted_killmails') then 7
        else 7
    end, p.proname
"""
VIEWS = """
select c.relname, obj_description(c.oid, 'pg_class')
from pg_class as c
where
    c.relnamespace = 'public'::regnamespace
    and c.relkind = 'v'
    and has_table_privilege('entity_stats_reader', c.oid, 'select')
order by c.relname
"""
COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod), coalesce(col_description(a.attrelid, a.attnum), '')
from pg_attribute as a
where a.attrelid = %s::regclass and a.attnum > 0
order by a.attnum
"""
SUMMARY = """
select m.name, format_type(m.type, null)
from pg_proc as p
cross join lateral unnest(p.proargnames, p.proallargtypes) as m (name, type)
where p.oid = 'public.get_stats_cache_summary()'::regprocedure
"""


def reference(session: psycopg.Connection[tuple[str, ...]]) -> str:
    """The reference in Markdown, from the comments in the catalog."""
    lines = ["## Functions", ""]
    for name, arguments, result, comment in session.execute(FUNCTIONS):
        lines += [f"### {name}", "", "```sql", f"{name}({arguments}) -> {result}", "```", "", comment, ""]
    lines += ["## Views", ""]
    lines += [f"- `{name}`: {comment}" for name, comment in session.execute(VIEWS)]
    for heading, row in (
        ("Columns of a row", "entity_stats.stats"),
        ("Columns of a row of the history", "entity_stats.entity_history"),
    ):
        lines += ["", f"## {heading}", "", "| column | type | |", "|---|---|---|"]
        lines += [f"| `{name}` | {kind} | {comment} |" for name, kind, comment in session.execute(COLUMNS, [row])]
    lines += ["", "Columns of `get_stats_cache_summary()`: "]
    lines[-1] += ", ".join(f"`{name}` {kind}" for name, kind in session.execute(SUMMARY)) + "."
    return "\n".join(lines)


def fill(session: psycopg.Connection[tuple[str, ...]]) -> None:
    """Make the world of the examples, in a database with everything deployed and the sample's functions; commits."""
    for statement in WORLD:
        session.execute(statement.encode())


def shown(value: object) -> str:
    """A value as psql shows it."""
    if isinstance(value, bool):
        return "t" if value else "f"
    return "" if value is None else str(value).removesuffix(":00") if isinstance(value, datetime) else str(value)


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows as psql shows them."""
    lines = []
    widths = [
        max(map(len, [name, *map(shown, column)])) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    ]
    lines.append(" | ".join(name.center(width) for name, width in zip(names, widths, strict=True)))
    for row in rows:
        cells = zip(map(shown, row), row, widths, strict=True)
        lines.append(
            " | ".join(
                text.rjust(width) if type(value) in (int, Decimal) else text.ljust(width)
                for text, value, width in cells
            )
        )
    lines = [f" {line}".rstrip() for line in lines]
    return "\n".join([lines[0], "-" + "-+-".join("-" * width for width in widths) + "-", *lines[1:]])


def result(session: psycopg.Connection[tuple[str, ...]], language: str, example: str) -> str:
    """What an example answers.

    Raises:
        RuntimeError: it answers nothing, or fails.
    """
    if language == "sql":
        cursor = session.execute(example.encode())
        rows = cursor.fetchall()
        if not rows:
            raise RuntimeError(f"an example answers nothing: {example}")
        return table([column.name for column in cursor.description or ()], rows)
    done = subprocess.run(
        [sys.executable, "-c", example],
        env={**os.environ, "DATABASE_URL": session.info.dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not done.stdout:
        raise RuntimeError(f"an example fails: {example}\n{done.stderr}")
    return done.stdout.rstrip()


def page(session: psycopg.Connection[tuple[str, ...]]) -> str:
    """The whole page, from a database with everything deployed and the world of the examples."""
    session.execute("set timezone = 'UTC'")
    frame = EXAMPLE.sub(
        lambda found: f"```{found[1]}\n{found[2]}```\n\n```text\n{result(session, found[1], found[2])}\n```",
        FRAME.read_text(),
    )
    return frame.replace("{reference}", reference(session)).replace("{measured}", MEASURED.read_text().strip())
