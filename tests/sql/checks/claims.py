"""Checks the claims that the DAGs check: those of the same files, read in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from entity_stats.sql import Check, checks
from tests.fixtures.database import Database

SEVERITIES = ("fail", "full")


def claims(*severities: str) -> list[Check]:
    """All checks of some severities, by default of those that fail."""
    return [check for severity in severities or SEVERITIES for check in checks(severity)]


def offences(database: Database, severities: Iterable[str] = SEVERITIES) -> dict[str, list[tuple[Any, ...]]]:
    """The claims that do not hold, and the rows that offend them."""
    found = {check.claim: database.judged(f"select * from entity_stats.{check.claim}") for check in claims(*severities)}
    return {claim: rows for claim, rows in found.items() if rows}


def claim(database: Database, name: str, severity: str, query: str) -> None:
    """Deploy one more claim."""
    database.execute(f"create view entity_stats.{name} as {query}")
    database.execute(f"comment on view entity_stats.{name} is '{severity}: A claim.'")
