"""Write docs/read-api.md: the read API as the catalog of a deployed database comments it, around examples.

    python -m docs.read_api            write the page
    python -m docs.read_api --check    exit status 1 when the page is not what would be written

The text around the reference is docs/read-api.in.md; `{reference}` stands for the reference, `{measured}` for what
`make bench-reads` has written.
"""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg

from demo.server import EmbeddedServer

HERE = Path(__file__).resolve().parent
PAGE = HERE / "read-api.md"
MEASURED = HERE / "benchmarks" / "reads.md"
FRAME = HERE / "read-api.in.md"
SQL = HERE.parent / "sql"

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


def page(session: psycopg.Connection[tuple[str, ...]]) -> str:
    """The whole page, from a database with everything deployed."""
    return (
        FRAME.read_text().replace("{reference}", reference(session)).replace("{measured}", MEASURED.read_text().strip())
    )


def main(arguments: list[str]) -> int:
    """Write or check the page; returns the exit status."""
    with EmbeddedServer(durable=False) as server:
        for file in ("sample/killmails.sql", "deploy.sql"):
            result = server.psql("postgres", "--quiet", "-f", SQL / file)
            if result.returncode != 0:
                raise RuntimeError(f"{file} failed:\n{result.stderr}")
        with psycopg.connect(server.conninfo()) as session:
            text = page(session)
    if "--check" in arguments:
        return int(PAGE.read_text() != text)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
