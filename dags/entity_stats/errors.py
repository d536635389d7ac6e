"""The errors that fail a task, with what an alert has to say about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException
from tabulate import tabulate  # type: ignore[import-untyped]

from entity_stats.sql import Check

Row = dict[str, Any]

#: Rows of a failing claim in a task's log.
SHOWN = 20


def table(rows: Sequence[Row]) -> str:
    """Rows as a text table."""
    return str(tabulate(rows, headers="keys", tablefmt="psql", disable_numparse=True))


def record(row: Row) -> str:
    """A row downwards, a line for each column; times in UTC, to the second."""
    shown = {
        name: f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else value
        for name, value in row.items()
    }
    return str(tabulate(shown.items(), tablefmt="plain"))


@dataclass(frozen=True)
class Offence:
    """A claim that does not hold.

    Attributes:
        check: The check.
        count: How many rows offend the claim.
        sample: Some of them.
    """

    check: Check
    count: int
    sample: Sequence[Row]

    @property
    def rows(self) -> str:
        """How many rows, in words."""
        return "1 row" if self.count == 1 else f"{self.count:,} rows"

    def __str__(self) -> str:
        first = self.rows if self.count <= SHOWN else f"the first {SHOWN} of {self.rows}"
        return f"The claim {self.check.claim} does not hold.\n{self.check.text}\n{first}:\n{table(self.sample[:SHOWN])}"


class ClaimsBroken(AirflowFailException):
    """Claims do not hold; another try would find the same."""

    def __init__(self, *offences: Offence) -> None:
        super().__init__("\n\n".join(str(offence) for offence in offences))
        self.offences = offences


class DatabaseUnreachable(AirflowException):
    """PostgreSQL does not answer, or has ended the session; another try may succeed."""


class ParamsRefused(AirflowFailException):
    """The run was triggered with params that make no sense; nothing has been done."""
