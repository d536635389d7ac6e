"""Lint the SQL inside PL/pgSQL bodies, which sqlfluff takes for one long string.

Every body of a function, procedure or DO block is compiled by PostgreSQL's own PL/pgSQL parser (libpg_query,
by way of pglast); what it embeds (statements, queries, expressions) is cut out of the source and linted by
sqlfluff with the project's rules. Findings are printed as `file:line: rule: message`; the exit status is 1 if
there are any. Text that a body puts together and executes is not looked into.

    .ci/embedded_sql.py [FILE_OR_FOLDER ...]    default: sql local
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import pglast
from pglast import ast
from pglast.enums import FunctionParameterMode as Mode
from pglast.parser import ParseError, parse_sql, scan
from sqlfluff.core import FluffConfig, Linter

ROOT = Path(__file__).resolve().parents[1]

#: Files are linted by so many processes, as sqlfluff does it.
PROCESSES = 2

#: The parser's marks: a whole statement, an expression; anything else is an assignment.
STATEMENT, EXPRESSION = 0, 2

#: The name of what a CASE compares; the parser makes it up, the source has no such text.
MADE_UP = '"__Case__Variable_'

#: Rules that judge a fragment by its place in a file, or take what stands alone for something else.
LAYOUT = ("LT01", "LT02", "LT06", "ST08")

#: What makes a statement of an expression: here sqlfluff takes any expression for one.
WHERE = "select true\nwhere\n    "

#: A variable whose type has a qualified name, e.g. `total constant public.killmails%rowtype :=`.
DECLARATION = re.compile(
    r"""(?P<name>(?:\bdeclare\b|;)(?:\s|--.*\n)*(?:"[^"]+"|\w+)\s+(?:constant\s+)?)
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


class SqlFile:
    """An SQL file as PostgreSQL reads it, without psql's own commands.

    Args:
        path: the file.
        name: how findings call it; default: the path.
    """

    def __init__(self, path: Path, name: Path | None = None) -> None:
        self.path = path
        self.name = name or path
        self.text = path.read_text(encoding="utf-8")
        self.source = re.sub(r"^\\.*$", "", self.text, flags=re.MULTILINE)

    @cached_property
    def statements(self) -> list[ast.RawStmt]:
        """The parsed statements; `stmt_location` is the position of the first word in `source`.

        Raises:
            ParseError: it is not SQL.
        """
        return list(parse_sql(self.source))

    def line(self, position: int) -> int:
        """The line, from 1, of a position in `source`."""
        return self.source.count("\n", 0, position) + 1


def dotted(names: Iterable[Any]) -> str:
    """A qualified name: its parts joined by dots."""
    return ".".join(part.sval for part in names)


def option(statement: Any, name: str) -> Any:
    """The argument of an option of CREATE FUNCTION or DO, e.g. "language"; None if it is not given."""
    options = statement.args if isinstance(statement, ast.DoStmt) else statement.options
    return next((element.arg for element in options or () if element.defname == name), None)


def row_types(files: Iterable[SqlFile]) -> set[str]:
    """The qualified names of all tables, views and composite types that the files create."""
    relations = [
        getattr(raw.stmt, attribute)
        for file in files
        for raw in file.statements
        for kind, attribute in (
            (ast.CreateStmt, "relation"),
            (ast.ViewStmt, "view"),
            (ast.CompositeTypeStmt, "typevar"),
        )
        if isinstance(raw.stmt, kind)
    ]
    return {"public.killmails", *(f"{relation.schemaname}.{relation.relname}" for relation in relations)}


@dataclass(frozen=True)
class Embedded:
    """A piece of SQL as the parser reports it.

    Attributes:
        line: the line of its PL/pgSQL statement, counted within the body from 1.
        query: its text; INTO and its targets are blanked out, PERFORM has become SELECT.
        mode: STATEMENT, EXPRESSION, or a kind of assignment.
        kind: "perform", "into", or "".
    """

    line: int
    query: str
    mode: int
    kind: str


@dataclass(frozen=True)
class Fragment:
    """SQL cut out of a body: the text for sqlfluff, and the file's line for each of its lines."""

    text: str
    lines: tuple[int, ...]


class Body:
    """The body of a PL/pgSQL function, procedure or DO block.

    Args:
        file: where it stands.
        raw: the CREATE FUNCTION, CREATE PROCEDURE or DO.
        rows: the names of row types, see `row_types`.

    Raises:
        ValueError: the body is written as an ordinary string, where positions cannot be found.
        ParseError: it is not PL/pgSQL.
    """

    def __init__(self, file: SqlFile, raw: ast.RawStmt, rows: set[str]) -> None:
        text = option(raw.stmt, "as")
        self.file = file
        self.statement = raw.stmt
        self.text: str = text[0].sval if isinstance(text, tuple) else text.sval
        self.position = file.source.find(self.text, raw.stmt_location or 0)
        if self.position < 0:
            raise ValueError("write the body between $$ and $$, not as an ordinary string")
        self._rows = rows
        self._function = self._compile()

    @property
    def variables(self) -> set[str]:
        """The names that SQL may use without a table: variables and parameters, and what qualifies them."""
        names = {value["refname"] for datum in self._function["datums"] for value in datum.values()
                 if "refname" in value}  # fmt: skip
        if isinstance(self.statement, ast.CreateFunctionStmt):
            names.add(self.statement.funcname[-1].sval)
        return {name.lower() for name in names}

    def long_lines(self, longest: int) -> Iterator[tuple[int, int]]:
        """Number and length of the file's lines that are too long; sqlfluff looks at none inside a string."""
        for number, line in enumerate(self.text.splitlines(), self.file.line(self.position)):
            if len(line) > longest:
                yield number, len(line)

    def fragments(self) -> Iterator[Fragment]:
        """What the body embeds, cut out of the source.

        Raises:
            ValueError: the parser's text is not in the source.
        """
        for embedded in _embedded(self._function, 1, ""):
            query, mode, kind = embedded.query, embedded.mode, embedded.kind
            if query.startswith(MADE_UP):
                continue
            if kind == "perform":
                query = query.removeprefix("SELECT")
            place = self._place(query, embedded.line, kind)
            if mode not in (STATEMENT, EXPRESSION):
                sign = re.search(r":?=\s*", query)
                place, query = (place + sign.end(), query[sign.end() :]) if sign else (place, query)
            prefix = WHERE if mode != STATEMENT else "select" if kind == "perform" else ""
            yield self._fragment(query, place, prefix)

    def _compile(self) -> dict[str, Any]:
        """The parser's tree of the body.

        The parser has no catalog: types that it cannot know are replaced by `record` (where they have fields)
        or `text`, and parameters become variables of a block around the body. No line moves.
        """
        parameters = getattr(self.statement, "parameters", None) or ()
        results = [p for p in parameters if p.mode in (Mode.FUNC_PARAM_OUT, Mode.FUNC_PARAM_TABLE)]
        outs = ", ".join(f'out "{p.name}" text' for p in results if p.name)
        inputs = "".join(f'"{p.name}" {self._type(p.argType)}; ' for p in parameters if p.name and p not in results)
        body = re.sub(r"\A(\s*)#.*", r"\1", self._with_known_types())
        if inputs:
            body = f"declare {inputs}begin {body.rstrip().removesuffix(';')};\nend"
        header = f"create function lint({outs}) returns {self._returns(len(results))} language plpgsql"
        [function] = pglast.parse_plpgsql(f"{header} as $lint_body${body}$lint_body$")
        return dict(function["PLpgSQL_function"])

    def _type(self, name: ast.TypeName) -> str:
        if name.arrayBounds:
            return "text"
        return "record" if dotted(name.names) in {*self._rows, "record", "pg_catalog.record"} else "text"

    def _returns(self, results: int) -> str:
        name = getattr(self.statement, "returnType", None)
        if name is None:
            return "record" if results > 1 else "text" if results else "void"
        if name.setof:
            return "setof text" if results == 1 else "setof record"
        last = str(name.names[-1].sval)
        return last if last in ("trigger", "event_trigger", "void") else self._type(name)

    def _with_known_types(self) -> str:
        """The body with types in its declarations that the parser knows."""

        def known(match: re.Match[str]) -> str:
            row = match["rest"] == "%rowtype" or (not match["rest"] and match["type"] in self._rows)
            return f"{match['name']}{'record' if row else 'text'}"

        pieces: list[str] = []
        done, begun = 0, None
        for token in scan(self.text):
            if token.name == "DECLARE":
                begun = token.start
            elif token.name == "BEGIN_P" and begun is not None:
                declarations = DECLARATION.sub(known, self.text[begun : token.start])
                pieces += [self.text[done:begun], declarations]
                done, begun = token.start, None
        return "".join([*pieces, self.text[done:]])

    def _place(self, query: str, line: int, kind: str) -> int:
        """The position in the body, from a line on, of a query of which parts may be blanked out."""
        begin = sum(len(part) for part in self.text.splitlines(keepends=True)[: line - 1])
        head = query.split("  ")[0] if kind == "into" else query
        place = self.text.find(head, begin)
        while place >= 0:
            there = self.text[place : place + len(query)]
            same = len(there) == len(query) and all(q in (t, " ") for q, t in zip(query, there, strict=True))
            if same and (kind != "perform" or self.text[:place].lower().endswith("perform")):
                return place
            place = self.text.find(head, place + 1)
        raise ValueError(f"cannot find {query!r} at or after line {line} of the body")

    def _fragment(self, query: str, place: int, prefix: str) -> Fragment:
        source = self.text[place : place + len(query)]
        first = self.file.line(self.position + place)
        lines = list(range(first, first + source.count("\n") + 1))
        blanked = [i for i, (q, s) in enumerate(zip(query, source, strict=True)) if q != s]
        if blanked:
            source, lines = _without(source, lines, blanked[0], blanked[-1] + 1)
        opening = self.text[self.text.rfind("\n", 0, place) + 1 : place]
        indent = opening[: len(opening) - len(opening.lstrip())]
        source = source.rstrip().replace("\n" + indent, "\n" + (prefix == WHERE) * "    ")
        noqa = re.match(r".*?(--\s*noqa.*)", self.text[place + len(query) :])
        comment = f" {noqa[1]}" if noqa else ""
        return Fragment(f"{prefix}{source}{comment}\n", (*[first] * prefix.count("\n"), *lines, lines[-1]))


def _without(source: str, lines: list[int], begin: int, end: int) -> tuple[str, list[int]]:
    """The source without a region and without one of the gaps around it, and the lines that are left."""
    head, target, tail = source[:begin].rstrip(), source[begin:end].rstrip(), source[end:].lstrip()
    before, after = source[len(head) : begin], source[begin + len(target) : len(source) - len(tail)]
    gap = "" if not tail else after if "\n" in after or "\n" not in before else before
    lost = source.count("\n", len(head), len(source) - len(tail)) - gap.count("\n")
    kept = head.count("\n") + 1
    return head + gap + tail, lines[:kept] + lines[kept + lost :]


def _embedded(node: Any, line: int, kind: str) -> Iterator[Embedded]:
    """All SQL in a part of the parser's tree; line and kind are those of the statement around it."""
    if isinstance(node, list):
        for element in node:
            yield from _embedded(element, line, kind)
    elif isinstance(node, dict):
        line = node.get("lineno", line)
        for name, child in node.items():
            if name == "PLpgSQL_expr":
                yield Embedded(line, child["query"], child.get("parseMode", STATEMENT), kind)
            elif name == "PLpgSQL_stmt_perform":
                yield from _embedded(child, line, "perform")
            elif name == "PLpgSQL_stmt_execsql" and "into" in child:
                yield from _embedded(child, line, "into")
            else:
                yield from _embedded(child, line, "" if name.startswith("PLpgSQL_stmt_") else kind)


@cache
def _linter() -> Linter:
    config = FluffConfig.from_path(str(ROOT))
    excluded = ", ".join([str(config.get("exclude_rules")), *LAYOUT])
    return Linter(config=FluffConfig.from_path(str(ROOT), overrides={"exclude_rules": excluded}))


def _lint_fragment(fragment: Fragment, variables: set[str]) -> Iterator[tuple[int, str, str]]:
    """Line, rule and message of what sqlfluff finds.

    A variable is no reference to a missing table; the semicolon (CV06) is not cut out with its statement.
    """
    for violation in _linter().lint_string(fragment.text).get_violations():
        rule, message = violation.rule_code(), violation.desc()
        reference = re.search(r"eference '\"?([^'\".]+)", message) if rule in ("RF01", "RF02") else None
        if rule != "CV06" and (reference is None or reference[1].lower() not in variables):
            yield fragment.lines[min(violation.line_no, len(fragment.lines)) - 1], rule, message


def lint(file: SqlFile, rows: set[str]) -> Iterator[Finding]:
    """Lint all PL/pgSQL bodies of a file.

    Args:
        file: the file.
        rows: the names of row types, see `row_types`.
    """
    longest = int(_linter().config.get("max_line_length"))
    for raw in file.statements:
        if not isinstance(raw.stmt, ast.CreateFunctionStmt | ast.DoStmt) or not option(raw.stmt, "as"):
            continue
        language = option(raw.stmt, "language")
        if language and language.sval.lower() != "plpgsql":
            continue
        try:
            body = Body(file, raw, rows)
            fragments = list(body.fragments())
        except (ParseError, ValueError) as error:
            yield Finding(file.name, file.line(raw.stmt_location or 0), "PL/pgSQL", str(error.args[0]))
            continue
        for line, length in body.long_lines(longest):
            yield Finding(file.name, line, "LT05", f"Line is too long ({length} > {longest}).")
        for fragment in fragments:
            for line, rule, message in _lint_fragment(fragment, body.variables):
                yield Finding(file.name, line, rule, message)


def sql_files(paths: Iterable[Path]) -> list[SqlFile]:
    """The SQL files at and below the paths, named relative to the working directory where they are in it."""
    here = Path.cwd()
    found = sorted({f.resolve() for p in paths for f in (p.rglob("*.sql") if p.is_dir() else [p])})
    return [SqlFile(f, f.relative_to(here) if f.is_relative_to(here) else f) for f in found]


def check(paths: Iterable[Path]) -> list[Finding]:
    """All findings in files and folders."""
    readable, findings = [], []
    for file in sql_files(paths):
        try:
            assert file.statements is not None
            readable.append(file)
        except ParseError as error:
            message, position = (*error.args, 0)[:2]
            findings.append(Finding(file.name, file.line(position), "SQL", str(message)))
    rows = row_types(readable)
    named = [(file.path, file.name) for file in readable]
    if len(named) == 1:
        return sorted({*findings, *_lint_file(named[0], rows)})
    with ProcessPoolExecutor(PROCESSES) as pool:
        linted = pool.map(partial(_lint_file, rows=rows), named)
        return sorted({*findings, *(finding for found in linted for finding in found)})


def _lint_file(named: tuple[Path, Path], rows: set[str]) -> list[Finding]:
    """Lint one file, read anew: parse trees do not travel between processes."""
    return list(lint(SqlFile(*named), rows))


def main(arguments: list[str]) -> int:
    """Lint files and folders, print the findings, return the exit status."""
    findings = check([Path(argument) for argument in arguments] or [ROOT / "sql", ROOT / "local"])
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
