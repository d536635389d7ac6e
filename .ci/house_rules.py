r"""Check what no linter knows: the house rules of sql/.

`search-path`  every function whose body is not inlined (no BEGIN ATOMIC, no RETURN) pins its search_path;
               procedures that commit cannot, nor SQL functions of which the comment above says that they are inlined
`definer`      SECURITY DEFINER has its reason in a comment on its line, or above the function
`comment`      every table, view, type, function and procedure has its COMMENT ON in the same file
`name`         a file is named as an object that it creates, and at most one function or view in public
`check`        a file of 7_checks/ is one query
`order`        each deployed file is named once by a \ir line of deploy.sql, and each such line names a file
`public`       PUBLIC may execute nothing: a REVOKE in the file, or one for the whole schema in 8_access/

Findings are printed as `file:line: rule: message`; the exit status is 1 if there are any.

    .ci/house_rules.py [FOLDER]    default: sql
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pglast import ast
from pglast.enums import FunctionParameterMode as Mode
from pglast.enums import GrantTargetType, ObjectType, RoleSpecType
from pglast.parser import ParseError, scan

from embedded_sql import ROOT, Finding, SqlFile, dotted, option, sql_files

#: Folders and files whose SQL is not deployed by deploy.sql.
NOT_DEPLOYED = {"sample", "7_checks", "check.sql", "deploy.sql", "migrate_from_row_trigger.sql", "uninstall.sql"}

#: Kinds of objects, as COMMENT ON and REVOKE call them.
KINDS = {
    ObjectType.OBJECT_AGGREGATE: "function",
    ObjectType.OBJECT_FUNCTION: "function",
    ObjectType.OBJECT_MATVIEW: "view",
    ObjectType.OBJECT_PROCEDURE: "procedure",
    ObjectType.OBJECT_TABLE: "table",
    ObjectType.OBJECT_TYPE: "type",
    ObjectType.OBJECT_VIEW: "view",
}

#: What a PL/pgSQL body contains that a SET clause on its procedure would break (a CALL may commit, too).
COMMITS = {"COMMIT", "ROLLBACK", "CALL"}

INPUT_MODES = {
    Mode.FUNC_PARAM_DEFAULT,
    Mode.FUNC_PARAM_IN,
    Mode.FUNC_PARAM_INOUT,
    Mode.FUNC_PARAM_VARIADIC,
}


@dataclass(frozen=True)
class Object:
    """A database object: its kind, qualified name and, for functions and procedures, the types it takes."""

    kind: str
    name: str
    arguments: tuple[str, ...] | None = None

    def __str__(self) -> str:
        arguments = "" if self.arguments is None else f"({', '.join(self.arguments)})"
        return f"{self.kind} {self.name}{arguments}"

    @property
    def schema(self) -> str:
        """The schema, "" if the name has none."""
        return self.name.rpartition(".")[0]

    @property
    def last(self) -> str:
        """The name without its schema."""
        return self.name.rpartition(".")[2]


def _type(name: ast.TypeName) -> str:
    return str(name.names[-1].sval) + "[]" * len(name.arrayBounds or ())


def _relation(kind: str, relation: ast.RangeVar) -> Object:
    return Object(kind, ".".join(part for part in (relation.schemaname, relation.relname) if part))


def _inputs(parameters: Iterable[ast.FunctionParameter] | None) -> tuple[str, ...]:
    return tuple(_type(p.argType) for p in parameters or () if p.mode in INPUT_MODES)


def created(statement: Any) -> Object | None:
    """The table, view, type, function or procedure that a statement creates; None for anything else."""
    match statement:
        case ast.CreateFunctionStmt():
            kind = "procedure" if statement.is_procedure else "function"
            return Object(kind, dotted(statement.funcname), _inputs(statement.parameters))
        case ast.DefineStmt() if statement.kind == ObjectType.OBJECT_AGGREGATE:
            return Object("function", dotted(statement.defnames), _inputs(statement.args[0]))
        case ast.CreateStmt() if statement.relation.relpersistence != "t" and statement.partbound is None:
            return _relation("table", statement.relation)
        case ast.ViewStmt():
            return _relation("view", statement.view)
        case ast.CreateTableAsStmt() if statement.objtype == ObjectType.OBJECT_MATVIEW:
            return _relation("view", statement.into.rel)
        case ast.CompositeTypeStmt():
            return _relation("type", statement.typevar)
        case ast.CreateEnumStmt() | ast.CreateRangeStmt():
            return Object("type", dotted(statement.typeName))
    return None


def commented(statement: Any) -> Object | None:
    """The object that a COMMENT ON describes; None for anything else."""
    if not isinstance(statement, ast.CommentStmt) or statement.objtype not in KINDS:
        return None
    kind, what = KINDS[statement.objtype], statement.object
    if isinstance(what, ast.ObjectWithArgs):
        return Object(kind, dotted(what.objname), tuple(_type(t) for t in what.objargs or ()))
    return Object(kind, dotted(what.names if isinstance(what, ast.TypeName) else what))


def revoked(statement: Any) -> Iterator[tuple[str, str]]:
    """What a REVOKE takes from PUBLIC: kind and qualified name, or kind and "schema.*" for a whole schema."""
    if not isinstance(statement, ast.GrantStmt) or statement.is_grant:
        return
    if not any(role.roletype == RoleSpecType.ROLESPEC_PUBLIC for role in statement.grantees):
        return
    everything = statement.targtype == GrantTargetType.ACL_TARGET_ALL_IN_SCHEMA
    routine = statement.objtype == ObjectType.OBJECT_ROUTINE
    for kind in ("function", "procedure") if routine else (KINDS.get(statement.objtype, ""),):
        for what in statement.objects or ():
            if everything:
                yield kind, f"{what.sval}.*"
            elif isinstance(what, ast.ObjectWithArgs):
                yield kind, dotted(what.objname)


def check_file(file: SqlFile) -> Iterator[Finding]:
    """The rules that a file keeps or breaks by itself."""
    objects = [(found, raw.stmt_location or 0) for raw in file.statements if (found := created(raw.stmt))]
    comments = {found for raw in file.statements if (found := commented(raw.stmt))}

    for raw in file.statements:
        statement = raw.stmt
        if isinstance(statement, ast.CreateFunctionStmt):
            yield from _check_function(file, raw)

    for found, position in objects:
        if found not in comments:
            yield Finding(file.name, file.line(position), "comment", f"say what it is: comment on {found}")

    stem = file.path.stem
    if objects and stem not in {found.last for found, _ in objects}:
        names = ", ".join(dict.fromkeys(found.last for found, _ in objects))
        yield Finding(file.name, 1, "name", f"the file creates {names}: name it as the main one of them")
    api = ("function", "procedure", "view")
    public = dict.fromkeys(o.name for o, _ in objects if o.schema == "public" and o.kind in api)
    if len(public) > 1:
        yield Finding(file.name, 1, "name", f"one public function or view per file, not {', '.join(public)}")

    if "7_checks" in file.path.parts and not (
        len(file.statements) == 1 and isinstance(file.statements[0].stmt, ast.SelectStmt)
    ):
        yield Finding(file.name, 1, "check", "a check is one query that returns the offending rows")


def _check_function(file: SqlFile, raw: ast.RawStmt) -> Iterator[Finding]:
    statement, position = raw.stmt, raw.stmt_location or 0
    name, line = dotted(statement.funcname), file.line(position)
    settings = [o.arg.name for o in statement.options or () if o.defname == "set"]
    body = option(statement, "as")
    comments = re.search(r"(?:^--.*\n)*\Z", file.source[:position], re.MULTILINE)
    above = comments[0] if comments else ""
    inlined = option(statement, "language").sval == "sql" and "Inlined" in above
    if statement.sql_body is None and "search_path" not in settings and not inlined:
        tokens = {token.name for token in scan(body[0].sval)} if statement.is_procedure and body else set()
        if not tokens & COMMITS:
            yield Finding(file.name, line, "search-path", f"{name}: add set search_path = pg_catalog, pg_temp")

    security = option(statement, "security")
    if security is not None and security.boolval:
        words = re.compile(r"security\s+definer", re.IGNORECASE)
        match = words.search(file.source, position)
        line = file.line(match.start()) if match else line
        if not words.search(above) and "--" not in file.source.splitlines()[line - 1]:
            yield Finding(file.name, line, "definer", f"{name}: say beside it why it is a security definer")


def check_folder(folder: Path, files: list[SqlFile]) -> Iterator[Finding]:
    """The rules that concern the files of the folder together."""
    deployed = {f.path: f for f in files if not NOT_DEPLOYED & set(f.path.relative_to(folder).parts)}
    yield from _check_order(folder, files, deployed)

    swept: set[tuple[str, str]] = set()
    for file in deployed.values():
        if "8_access" in file.path.parts:
            swept |= {what for raw in file.statements for what in revoked(raw.stmt)}
    for file in deployed.values():
        here = swept | {what for raw in file.statements for what in revoked(raw.stmt)}
        for raw in file.statements:
            found = created(raw.stmt)
            if found is None or found.arguments is None:
                continue
            if not {(found.kind, found.name), (found.kind, f"{found.schema}.*")} & here:
                line = file.line(raw.stmt_location or 0)
                yield Finding(file.name, line, "public", f"revoke execute on {found} from public")


def _check_order(folder: Path, files: list[SqlFile], deployed: dict[Path, SqlFile]) -> Iterator[Finding]:
    deploy = next((f for f in files if f.path == folder / "deploy.sql"), None)
    if deploy is None:
        yield Finding(folder, 1, "order", "deploy.sql is missing")
        return
    named: set[Path] = set()
    for number, line in enumerate(deploy.text.splitlines(), 1):
        if match := re.match(r"\\ir\s+(\S+)", line):
            path = (folder / match[1]).resolve()
            if not path.exists():
                yield Finding(deploy.name, number, "order", f"there is no {match[1]}")
            if path in named:
                yield Finding(deploy.name, number, "order", f"{match[1]} is named twice")
            named.add(path)
    for path, file in deployed.items():
        if path not in named:
            yield Finding(file.name, 1, "order", "no \\ir line of deploy.sql names this file")


def check(folder: Path) -> list[Finding]:
    """All findings in a folder laid out like sql/; files that are not SQL are left to the linters."""
    folder = folder.resolve()
    files = []
    for file in sql_files([folder]):
        try:
            assert file.statements is not None
            files.append(file)
        except ParseError:
            continue
    findings = [finding for file in files for finding in check_file(file)]
    return sorted({*findings, *check_folder(folder, files)})


def main(arguments: list[str]) -> int:
    """Check a folder, print the findings, return the exit status."""
    findings = check(Path(arguments[0]) if arguments else ROOT / "sql")
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
