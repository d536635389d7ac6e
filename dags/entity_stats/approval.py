"""Operators that wait for a person's approval, where the Airflow variable `entity_stats_approval` asks for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context, Variable
from airflow.sdk.exceptions import AirflowFailException

from entity_stats.alerts import Question
from entity_stats.operators import KillboardOperator

#: Airflow variable that names what waits for approval: words of SUBJECTS. Without it nothing waits.
VARIABLE = "entity_stats_approval"

SUBJECTS = ("rebuild", "repair")

#: How long a run waits for an answer: less than a day, so that the next night's cleanup is not held up.
TIMEOUT = timedelta(hours=12)

#: The limit of a repair that has been approved.
WITHOUT_LIMIT = 2**31 - 1


class ApproveOperator(ApprovalOperator):
    """Asks a person whether the run may go on; what follows is skipped if not.

    Subclasses say what about. The question is in the UI (*Required actions*) and goes where alerts go. Nobody's answer
    within TIMEOUT fails the task.
    """

    about = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            subject=f"May this run {self.about}?",
            response_timeout=TIMEOUT,
            notifiers=[Question()],
            retries=0,
            **kwargs,
        )

    def execute(self, context: Context) -> Any:
        """Ask, if approval is wanted and there is a question."""
        if self.about not in wanted():
            self.log.info("The Airflow variable %s does not name %s: nobody is asked", VARIABLE, self.about)
            return None
        self.body = self.question(context)
        if self.body is None:
            self.log.info("There is nothing to approve")
            return None
        return super().execute(context)

    def question(self, context: Context) -> str | None:
        """What is to be approved, as Markdown; None: nothing."""
        raise NotImplementedError

    def process_trigger_event_error(self, event: dict[str, Any]) -> None:
        """End the task failed."""
        if event["error_type"] == "timeout":
            raise AirflowFailException("Nobody has answered in time: nothing was done.")
        super().process_trigger_event_error(event)


class ApproveRebuild(ApproveOperator):
    """Asks before a rebuild."""

    about = "rebuild"

    def question(self, context: Context) -> str | None:
        """A run without `rebuild` changes nothing of a ready cache."""
        if not context["params"]["rebuild"]:
            return None
        return (
            "The run was triggered with `rebuild`. Approve: the cache is built anew while it serves; that reads all "
            "killmails. Reject: the cache stays as it is."
        )


class ApproveRepair(KillboardOperator, ApproveOperator):
    """Asks before a repair of more than the limit. Returns the answer, so that the repair has no limit.

    Args:
        run: Number of the run whose checks have found what is wrong (templated).
        most: The limit (templated).
    """

    about = "repair"
    template_fields: Sequence[str] = ("run", "most")

    def __init__(self, *, run: str, most: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.most = most

    def question(self, context: Context) -> str | None:
        """A check that has found more rows than it lists is beyond repair: nobody is asked."""
        with self.session(context) as hook:
            [wrong] = hook.rows(
                "select count(*) as entities, coalesce(bool_or(w.unlisted), false) as incomplete,"
                " (select count(*) from entity_stats.wrong_months(%(run)s)) as months"
                " from entity_stats.wrong_entities(%(run)s) as w",
                {"run": int(self.run)},
            )
        if wrong["incomplete"] or max(wrong["entities"], wrong["months"]) <= int(self.most):
            return None
        return (
            f"The checks of run {self.run} have found {wrong['entities']:,} entities and {wrong['months']:,} months of "
            f"the history wrong; a run repairs up to {int(self.most):,} of each by itself. Approve: all of them are "
            "recalculated. Reject: they are left as they are. Look for the cause first: the rows are in the logs of "
            "the checks that failed."
        )


def wanted() -> set[str]:
    """What waits for approval.

    Raises:
        AirflowFailException: The variable names something else: a typo must not let a rebuild pass.
    """
    words = set(re.findall(r"\w+", Variable.get(VARIABLE, default="")))
    if unknown := words - set(SUBJECTS):
        raise AirflowFailException(
            f"The Airflow variable {VARIABLE} names {', '.join(sorted(unknown))}: it takes {' and '.join(SUBJECTS)}."
        )
    return words
