"""Finds the SQL of the checkout that these DAGs are in: the same in a DAGs folder and in a Git bundle's version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SQL = Path(__file__).resolve().parents[2] / "sql"
CHECKS = SQL / "7_checks"


def deploy_statements(script: Path = SQL / "deploy.sql") -> list[str]:
    r"""Split the deployment script into what the server gets as one query each.

    Everything from `begin;` to `commit;` is one query, with the files of the `\ir` lines in their places; each
    statement outside, on a line of its own, is another, for procedures that commit. What psql alone says to people
    (`\set`, and from `\if` to `\endif`) is left out.

    Args:
        script: What psql would run with -f.

    Raises:
        ValueError: A line that only psql understands, or a transaction that is not committed.
    """
    statements: list[str] = []
    transaction: list[str] | None = None
    for_psql = False
    for line in script.read_text(encoding="utf-8").splitlines():
        words = line.split()
        match words:
            case [] | ["--", *_]:
                continue
            case ["\\if" | "\\endif" as word, *_] if transaction is None:
                for_psql = word == "\\if"
            case ["\\set", *_] if transaction is None:
                continue
            case _ if for_psql:
                continue
            case ["\\ir", path] if transaction is not None:
                transaction.append((script.parent / path).read_text(encoding="utf-8"))
            case ["begin;"] if transaction is None:
                transaction = [line]
            case [first, *_] if first.startswith("\\"):
                raise ValueError(f"{script.name}: the deploy task does not know psql's {first}: {line}")
            case ["commit;"] if transaction is not None:
                statements.append("\n".join([*transaction, line]))
                transaction = None
            case _ if transaction is not None:
                transaction.append(line)
            case _ if line.endswith(";"):
                statements.append(line)
            case _:
                raise ValueError(f"{script.name}: a statement outside the transaction takes one line: {line}")
    if transaction is not None:
        raise ValueError(f"{script.name}: no commit; after begin;")
    return statements


@dataclass(frozen=True)
class Check:
    """A claim about the cache: a query that returns the rows that offend it.

    Attributes:
        claim: The file's name without .sql.
        severity: The file's folder: fail, warn or full (fails, and is run by full verification only).
        text: The comment that opens the file: what the claim means and what to do when it does not hold.
        query: The query, without comment and semicolon.
    """

    claim: str
    severity: str
    text: str
    query: str


def read_check(path: Path) -> Check:
    """Read one file of 7_checks/."""
    lines = path.read_text(encoding="utf-8").strip().splitlines()
    comments = 0
    while comments < len(lines) and lines[comments].startswith("--"):
        comments += 1
    text = "\n".join(line.removeprefix("--").strip() for line in lines[:comments])
    return Check(path.stem, path.parent.name, text, "\n".join(lines[comments:]).strip().removesuffix(";"))


def checks(severity: str) -> list[Check]:
    """All checks of a severity, by claim."""
    return [read_check(path) for path in sorted((CHECKS / severity).glob("*.sql"))]
