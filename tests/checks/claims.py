"""Runs the checks as the DAGs do: the same files, read in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from entity_stats.sql import Check, checks
from tests.database import Database

SEVERITIES = ("fail", "full")


def claims(*severities: str) -> list[Check]:
    """All checks of some severities, by default of those that fail."""
    return [check for severity in severities or SEVERITIES for check in checks(severity)]


def offences(database: Database, severities: Iterable[str] = SEVERITIES) -> dict[str, list[tuple[Any, ...]]]:
    """The claims that do not hold, and the rows that offend them."""
    found = {check.claim: database.judged(check.query) for check in claims(*severities)}
    return {claim: rows for claim, rows in found.items() if rows}
