"""Lint the SQL inside PL/pgSQL bodies, which sqlfluff takes for one long string.

Every body of a function, procedure or DO block is compiled by PostgreSQL's own PL/pgSQL parser (libpg_query, by
way of pglast); what it embeds (statements, queries, expressions) is cut out of the source and linted by sqlfluff
with the project's rules. Findings are printed as `file:line: rule: message`; the exit status is 1 if there are any.

    .ci/embedded_sql.py [FILE_OR_FOLDER ...]    default: sql
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pglast
from pglast import ast
from pglast.enums import FunctionParameterMode as Mode
from pglast.parser import ParseError, parse_sql, scan
from sqlfluff.core import FluffConfig, Linter

ROOT = Path(__file__).resolve().parents[1]

#: How PL/pgSQL marks a whole statement among its expressions.
STATEMENT = 0

#: Stands for what a CASE compares; the parser makes it up, the source has no such text.
MADE_UP = '"__Case__Variable_'

#: What makes a statement of an expression: only here sqlfluff reads every expression as one.
WHERE = "select true\nwhere\n    "

DECLARATION = re.compile(
    r"""(?P<name>"[^"]+"|\w+) (?P<gap>\s+(?:constant\s+)?)
        (?P<type>\w+\.(?:"[^"]+"|\w+)) (?P<rest>%rowtype|\s*\[\s*\])?
        (?=\s*(?:;|:=|=|default\b|not\s+null\b))""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, order=True)
class Finding:
    """Something to mend, and where."""

    file: Path
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.message}"


@dataclass(frozen=True)
class Fragment:
    """SQL cut out of a body: the text for sqlfluff, and the file's line for each of its lines."""

    text: str
    lines: tuple[int, ...]


class SqlFile:
    """An SQL file as PostgreSQL reads it, psql's own commands left out.

    Args:
        path: the file.
        name: how findings call it.

    Raises:
        ParseError: it is not SQL (on the first look at `statements`).
    """

    def __init__(self, path: Path, name: Path | None = None) -> None:
        self.path = path
        self.name = name or path
        self.text = path.read_text(encoding="utf-8")

    @cached_property
    def source(self) -> str:
        """The text with psql's backslash commands blanked out, line numbers kept."""
        return re.sub(r"^\\.*$", "", self.text, flags=re.MULTILINE)

    @cached_property
    def statements(self) -> list[ast.RawStmt]:
        """The parsed statements; `stmt_location` counts characters of `source`."""
        return list(parse_sql(self.source))

    def line(self, position: int) -> int:
        """The line, from 1, of a position in `source`."""
        return self.source.count("\n", 0, position) + 1

    def start(self, statement: ast.RawStmt) -> int:
        """The position of a statement's first word, behind leading blanks and comments."""
        begin = statement.stmt_location or 0
        for token in scan(self.source[begin:]):
            if token.name not in ("SQL_COMMENT", "C_COMMENT"):
                return int(begin + token.start)
        return begin


def dotted(names: Iterable[Any]) -> str:
    """A qualified name: its parts joined by dots."""
    return ".".join(part.sval for part in names)


def option(statement: Any, name: str) -> Any:
    """The argument of an option of CREATE FUNCTION or DO, e.g. "language"; None if it is not given."""
    options = statement.args if isinstance(statement, ast.DoStmt) else statement.options
    return next((element.arg for element in options or () if element.defname == name), None)


def row_types(files: Iterable[SqlFile]) -> set[str]:
    """The qualified names of all tables, views and composite types that the files create."""
    found = {"public.killmails"}
    for file in files:
        for raw in file.statements:
            statement = raw.stmt
            if isinstance(statement, ast.CreateStmt):
                relation = statement.relation
            elif isinstance(statement, ast.ViewStmt):
                relation = statement.view
            elif isinstance(statement, ast.CompositeTypeStmt):
                relation = statement.typevar
            else:
                continue
            found.add(f"{relation.schemaname}.{relation.relname}")
    return found


class Body:
    """The body of a PL/pgSQL function, procedure or DO block.

    Args:
        file: where it stands.
        statement: the CREATE FUNCTION, CREATE PROCEDURE or DO.
        position: where the statement begins in the file's source.
        rows: the names of row types, see `row_types`.

    Raises:
        ValueError: the body is written as an ordinary string, where positions cannot be found.
    """

    def __init__(self, file: SqlFile, statement: Any, position: int, rows: set[str]) -> None:
        text = option(statement, "as")
        self.file = file
        self.statement = statement
        self.rows = rows
        self.text: str = text[0].sval if isinstance(text, tuple) else text.sval
        self.position = file.source.find(self.text, position)
        if self.position < 0:
            raise ValueError("write the body between $$ and $$, not as an ordinary string")

    def compile(self) -> Any:
        """The parser's tree of the body.

        The parser knows no catalog: types it cannot know are replaced by `record` (where fields are used) or
        `text`, and parameters become variables of a block around the body. No line moves.

        Raises:
            ParseError: it is not PL/pgSQL.
        """
        parameters = getattr(self.statement, "parameters", None) or ()
        results = [p for p in parameters if p.mode in (Mode.FUNC_PARAM_OUT, Mode.FUNC_PARAM_TABLE)]
        inputs = [p for p in parameters if p not in results and p.name]
        outs = ", ".join(f'out "{p.name}" text' for p in results if p.name)
        variables = "".join(f'"{p.name}" {self._type(p.argType)}; ' for p in inputs)
        body = re.sub(r"\A(\s*)#.*", r"\1", self._declarations()).rstrip()
        body = f"declare {variables}begin {body.removesuffix(';')};\nend" if variables else body
        header = f"create function lint({outs}) returns {self._returns(len(results))} language plpgsql"
        [function] = pglast.parse_plpgsql(f"{header} as $lint_body${body}$lint_body$")
        return function["PLpgSQL_function"]

    def _type(self, name: ast.TypeName) -> str:
        if name.arrayBounds:
            return "text"
        return "record" if dotted(name.names) in {*self.rows, "record", "pg_catalog.record"} else "text"

    def _returns(self, results: int) -> str:
        name = getattr(self.statement, "returnType", None)
        if name is None:
            return "record" if results > 1 else "text" if results else "void"
        last = name.names[-1].sval
        if last in ("trigger", "event_trigger", "void"):
            return str(last)
        if name.setof:
            return "setof text" if results == 1 else "setof record"
        return self._type(name)

    def _declarations(self) -> str:
        """The body with the types of its declarations made known to the parser."""

        def known(match: re.Match[str]) -> str:
            row = match["rest"] == "%rowtype" or (not match["rest"] and match["type"] in self.rows)
            return f"{match['name']}{match['gap']}{'record' if row else 'text'}"

        pieces, done, begun = [], 0, None
        for token in scan(self.text):
            if token.name == "DECLARE":
                begun = token.start
            elif token.name == "BEGIN_P" and begun is not None:
                pieces += [self.text[done:begun], DECLARATION.sub(known, self.text[begun : token.start])]
                done, begun = token.start, None
        return "".join([*pieces, self.text[done:]])

    def fragments(self, function: Any) -> Iterator[Fragment]:
        """What the compiled body embeds, cut out of the source."""
        for line, expression, keyword, into in _expressions(function, 1):
            query, mode = expression["query"], expression.get("parseMode", STATEMENT)
            if query.startswith(MADE_UP):
                continue
            if keyword == "perform":
                query = query[len("SELECT") :]
            place = self._place(query, line, keyword, into)
            if place is None:
                raise ValueError(f"cannot find {query!r} at or after line {line} of the body")
            if mode not in (STATEMENT, 2):  # an assignment: what stands behind := or =
                sign = re.search(r":?=\s*", query)
                place += sign.end() if sign else 0
                query = query[sign.end() :] if sign else query
            prefix = WHERE if mode != STATEMENT else "select" if keyword == "perform" else ""
            yield self._fragment(query, place, prefix, into)

    def _place(self, query: str, line: int, keyword: str, into: bool) -> int | None:
        """The position of a query in the body, from a line on; the parser blanks out INTO and its targets."""
        begin = sum(len(part) for part in self.text.splitlines(keepends=True)[: line - 1])
        head = query.split("  ")[0] if into else query
        place = self.text.find(head, begin)
        while place >= 0:
            there = self.text[place : place + len(query)]
            same = len(there) == len(query) and all(q in (t, " ") for q, t in zip(query, there, strict=True))
            before = self.text[:place].lower()
            if same and (keyword != "perform" or before.endswith("perform")):
                return place
            place = self.text.find(head, place + 1)
        return None

    def _fragment(self, query: str, place: int, prefix: str, into: bool) -> Fragment:
        source = self.text[place : place + len(query)]
        first = self.file.line(self.position + place)
        lines = list(range(first, first + source.count("\n") + 1))
        if into:
            differing = [i for i, (q, s) in enumerate(zip(query, source, strict=True)) if q != s]
            if differing:
                source, lines = _without(source, lines, differing[0], differing[-1] + 1)
        opening = self.text[self.text.rfind("\n", 0, place) + 1 : place]
        indent = opening[: len(opening) - len(opening.lstrip())]
        source = source.rstrip().replace("\n" + indent, "\n")
        if prefix == WHERE:
            source = source.replace("\n", "\n    ")
        return Fragment(f"{prefix}{source};\n", (*[first] * prefix.count("\n"), *lines, lines[-1]))


def _without(source: str, lines: list[int], begin: int, end: int) -> tuple[str, list[int]]:
    """The source without a region and without one of the gaps around it, and the lines that are left."""
    head, tail = source[:begin].rstrip(), source[end:].lstrip()
    before, after = source[len(head) : begin], source[begin + len(source[begin:end].rstrip()) : len(source) - len(tail)]
    gap = "" if not tail else after if "\n" in after or "\n" not in before else before
    lost = source.count("\n", len(head), len(source) - len(tail)) - gap.count("\n")
    at = head.count("\n") + 1
    return head + gap + tail, lines[:at] + lines[at + lost :]


def _expressions(node: Any, line: int) -> Iterator[tuple[int, dict[str, Any], str, bool]]:
    """Every expression of the parser's tree: line in the body, expression, keyword of its statement, INTO or not."""

    def below(node: Any, line: int, keyword: str, into: bool) -> Iterator[tuple[int, dict[str, Any], str, bool]]:
        if isinstance(node, list):
            for element in node:
                yield from below(element, line, keyword, into)
        elif isinstance(node, dict):
            line = node.get("lineno", line)
            for name, child in node.items():
                if name == "PLpgSQL_expr":
                    yield line, child, keyword, into
                elif name.startswith("PLpgSQL_"):
                    kind = name.removeprefix("PLpgSQL_stmt_") if name.startswith("PLpgSQL_stmt_") else ""
                    yield from below(child, line, kind, kind == "execsql" and "into" in child)
                else:
                    yield from below(child, line, keyword, into)

    yield from below(node, line, "", False)


@cache
def _linter() -> Linter:
    return Linter(config=FluffConfig.from_path(str(ROOT)))


def lint_fragment(fragment: Fragment, variables: set[str], name: Path) -> Iterator[Finding]:
    """Lint one fragment; references to variables of the body are no references to missing tables."""
    for violation in _linter().lint_string(fragment.text).get_violations():
        code, message = violation.rule_code(), violation.desc()
        if code in ("RF01", "RF02"):
            reference = re.search(r"eference '\"?([^'\".]+)", message)
            if reference and reference[1].lower() in variables:
                continue
        line = fragment.lines[min(violation.line_no, len(fragment.lines)) - 1]
        yield Finding(name, line, code, message)


def lint(file: SqlFile, rows: set[str]) -> Iterator[Finding]:
    """Lint all PL/pgSQL bodies of a file.

    Args:
        file: the file.
        rows: the names of row types, see `row_types`.
    """
    for raw in file.statements:
        statement, position = raw.stmt, file.start(raw)
        if not isinstance(statement, ast.CreateFunctionStmt | ast.DoStmt) or option(statement, "as") is None:
            continue
        language = option(statement, "language")
        if (language.sval.lower() if language else "plpgsql") != "plpgsql":
            continue
        try:
            body = Body(file, statement, position, rows)
            function = body.compile()
            fragments = list(body.fragments(function))
        except (ParseError, ValueError) as error:
            yield Finding(file.name, file.line(position), "PL/pgSQL", str(error.args[0]))
            continue
        variables = {v["refname"].lower() for datum in function["datums"] for v in datum.values() if "refname" in v}
        if isinstance(statement, ast.CreateFunctionStmt):
            variables.add(statement.funcname[-1].sval.lower())  # qualifies parameters
        for fragment in fragments:
            yield from lint_fragment(fragment, variables, file.name)


def sql_files(paths: Iterable[Path]) -> list[SqlFile]:
    """The SQL files at and below the paths, named relative to the working directory where that is possible."""
    here = Path.cwd()
    found = sorted({f.resolve() for p in paths for f in (p.rglob("*.sql") if p.is_dir() else [p])})
    return [SqlFile(f, f.relative_to(here) if f.is_relative_to(here) else f) for f in found]


def main(arguments: list[str]) -> int:
    """Lint files and folders, print the findings, return the exit status."""
    files = sql_files([Path(a) for a in arguments] or [ROOT / "sql"])
    readable, findings = [], []
    for file in files:
        try:
            assert file.statements is not None
            readable.append(file)
        except ParseError as error:
            position = error.location or 0
            findings.append(Finding(file.name, file.line(position), "SQL", str(error.args[0])))
    rows = row_types(readable)
    findings += [finding for file in readable for finding in lint(file, rows)]
    for finding in sorted(set(findings)):
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
