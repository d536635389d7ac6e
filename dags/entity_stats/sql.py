"""Finds the SQL of the checkout that these DAGs are in: the same in a DAGs folder and in a Git bundle's version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SQL = Path(__file__).resolve().parents[2] / "sql"
CHECKS = SQL / "11_checks"

#: How the comment on a claim's view begins; entity_stats.claims() reads the same from the catalog.
MEANING = re.compile(
    r"^comment on view entity_stats\.(\w+) is\n'(fail|warn|full): (.*)';\s*\Z", re.MULTILINE | re.DOTALL
)


def deployment(script: Path = SQL / "deploy.sql") -> str:
    r"""The deployment as one query: the transaction of the script, with the files of its `\ir` lines in their places.

    Args:
        script: What psql would run with -f.

    Raises:
        ValueError: There is no transaction, or it has a line that only psql understands.
    """
    found = re.search(r"^begin;$.*?^commit;$", script.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if not found:
        raise ValueError(f"{script.name}: no transaction from begin; to commit;")
    if alien := re.search(r"^\\(?!ir ).*$", found[0], re.MULTILINE):
        raise ValueError(f"{script.name}: only psql understands {alien[0]}")
    return re.sub(
        r"^\\ir (.+)$", lambda line: (script.parent / line[1]).read_text(encoding="utf-8"), found[0], flags=re.MULTILINE
    )


@dataclass(frozen=True)
class Check:
    """A claim about the cache: a view of the rows that offend it.

    Attributes:
        claim: The view's name, without its schema.
        severity: fail, warn or full (fails, and is run by full verification only).
        text: What the claim means and what to do when it does not hold.
        view: The statement that creates the view.
    """

    claim: str
    severity: str
    text: str
    view: str


def read_check(path: Path) -> Check:
    """Read one file of 11_checks/: a view, and a comment on it that says what it claims.

    Raises:
        ValueError: There is no such comment at its end.
    """
    source = path.read_text(encoding="utf-8")
    if not (found := MEANING.search(source)):
        raise ValueError(f"{path.name} does not end with: comment on view entity_stats.{path.stem} is 'fail: ...'")
    claim, severity, text = found.groups()
    return Check(claim, severity, text.replace("''", "'"), source[: found.start()].strip())


def checks(severity: str, folder: Path = CHECKS) -> list[Check]:
    """All checks of a severity, by claim."""
    found = map(read_check, sorted(folder.glob("*.sql")))
    return [check for check in found if check.severity == severity]
