"""Operators of checks: one claim, and a second look at the claims that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from entity_stats.errors import ClaimsBroken, Offence
from entity_stats.hook import KillboardHook
from entity_stats.operators import SqlOperator
from entity_stats.sql import Check

#: Columns of offending rows that say what they are about: they come first.
SUBJECT = ("entityType", "entityId", "period", "column")


class CheckOperator(SqlOperator):
    """Runs one check, shows and keeps the rows that offend its claim.

    Rows end the task failed, or, of a check of severity warn, skipped: visible in the grid, without alert.

    Args:
        check: The check.
        run: Number in entity_stats.run under which the result is kept (templated).
    """

    template_fields: Sequence[str] = ("run",)

    def __init__(self, *, check: Check, run: str, **kwargs: Any) -> None:
        super().__init__(task_id=check.claim, doc_md=f"{check.text}\n\n```sql\n{check.view}\n```", **kwargs)
        self.check = check
        self.run = run
        self.claims = [check.claim]

    def execute(self, context: Context) -> None:
        """Run the check."""
        with self.session(context) as hook:
            offence = run_check(hook, self.check, self.run)
        if offence is None:
            self.log.info("The claim holds: %s", self.check.claim)
        elif self.check.severity == "warn":
            self.log.warning("%s", offence)
            raise AirflowSkipException(f"{offence.rows} to look at")
        else:
            raise ClaimsBroken(offence)


class RecheckOperator(SqlOperator):
    """Runs again the checks that have failed in a run, after the repair; fails when a claim still does not hold.

    Args:
        checks: The checks that may have failed.
        run: Number in entity_stats.run (templated).
    """

    template_fields: Sequence[str] = ("run",)

    def __init__(self, *, checks: Sequence[Check], run: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.checks = {check.claim: check for check in checks}
        self.run = run
        self.claims: list[str] = []

    def execute(self, context: Context) -> None:
        """Recheck."""
        broken: list[Offence] = []
        with self.session(context) as hook:
            failed = hook.rows(
                "select distinct claim from entity_stats.check_run"
                " where run = %(run)s and severity <> 'warn' and offending > 0 order by claim",
                {"run": self.run},
            )
            for claim in [row["claim"] for row in failed if row["claim"] in self.checks]:
                if offence := run_check(hook, self.checks[claim], self.run):
                    broken.append(offence)
                else:
                    self.log.info("The claim holds again: %s", claim)
                    self.claims.append(claim)
        if not failed:
            raise AirflowSkipException("No claim has failed: nothing to check again")
        if broken:
            raise ClaimsBroken(*broken)


def run_check(hook: KillboardHook, check: Check, run: str) -> Offence | None:
    """Run a check, which keeps its result; None when the claim holds."""
    [result] = hook.rows(
        "select * from entity_stats.run_check(%(run)s, %(claim)s)", {"run": int(run), "claim": check.claim}
    )
    if not result["offending"]:
        return None
    # JSON from the database has its columns in no order.
    rows = [dict(sorted(row.items(), key=lambda item: _place(item[0]))) for row in result["sample"]]
    return Offence(check, result["offending"], rows)


def _place(column: str) -> int:
    return SUBJECT.index(column) if column in SUBJECT else len(SUBJECT)
