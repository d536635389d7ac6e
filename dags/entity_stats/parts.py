"""Parts of more than one DAG: the run's history, its checks, its summary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, TaskGroup, TriggerRule, get_current_context, task
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from entity_stats.alerts import late
from entity_stats.approval import WITHOUT_LIMIT, ApproveRepair
from entity_stats.checks import CheckOperator, RecheckOperator
from entity_stats.defaults import AS_OF, AS_OF_PARAMETERS, ASSET, REPAIR_MOST
from entity_stats.errors import ParamsRefused
from entity_stats.operators import ReadyOperator, SqlOperator, scalar
from entity_stats.sql import checks
from entity_stats.summary import SummaryOperator

#: Number of this run in entity_stats.run, as a template.
RUN = "{{ ti.xcom_pull(task_ids='start_run') }}"
#: Entities that are recounted in one transaction.
BATCH = 200


class TestableDAG(DAG):
    """A DAG with a deadline. Airflow 3.3 cannot test one: at the end it does not find the deadline."""

    def test(self, *args: Any, **kwargs: Any) -> Any:
        """Run once, in this process (`airflow dags test`), where deadlines do not count."""
        self.deadline = None
        return super().test(*args, **kwargs)


def span(duration: timedelta) -> str:
    """A duration for people: 2 h, 1 min 30 s."""
    minutes, seconds = divmod(round(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def deadline(dag_id: str, interval: timedelta, text: str) -> DeadlineAlert:
    """Alerts when a run has not finished in time, whether it works, hangs or waits for approval.

    Airflow 3.3 shows the callback neither the run's tasks nor variables, so the text covers both cases.

    Args:
        dag_id: Whose run.
        interval: Counted from when the run was queued.
        text: What it means.
    """
    advice = (
        "What to do: see in the grid which task is not done. If it awaits input, it waits for approval, and you answer "
        "under Required Actions. If it is running, see what it waits for: `select pid, application_name, "
        "wait_event, pg_blocking_pids(pid), query from pg_stat_activity where application_name like 'entity_stats%'`"
    )
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=interval,
        callback=SyncCallback(
            late, kwargs={"title": f"{dag_id} has not finished within {span(interval)}", "text": f"{text} {advice}"}
        ),
    )


#: Severity of checks -> the task group's name and documentation.
CHECK_GROUPS = {
    "fail": (
        "verify",
        "One task per claim that has to hold.\n\nA task fails when rows break its claim: they are in its log, and its "
        "documentation says what to do. Results are kept in `entity_stats.check_run`.",
    ),
    "warn": (
        "warnings",
        "One task per claim whose rows are worth a look.\n\nA task with such rows ends skipped, without an alert: they "
        "are in its log.",
    ),
    "full": (
        "full",
        "The comparison of everything.\n\nOne task per entity type or claim, as in `verify`; it reads all killmails "
        "and takes about as long as a backfill.",
    ),
}


def start_run(operation: str) -> SqlOperator:
    """The task that opens this run in entity_stats.run and returns its number; the summary closes it."""
    return SqlOperator(
        task_id="start_run",
        sql=f"select entity_stats.start_run(%(operation)s, {AS_OF}, %(as_of)s <> '', %(run)s)",
        parameters={"operation": operation, "run": "{{ run_id }}", **AS_OF_PARAMETERS},
        handler=scalar,
    )


def repair(severities: Sequence[str], run: str = RUN, **kwargs: Any) -> tuple[ApproveRepair, RecheckOperator]:
    """The tasks that repair what checks have found, within a limit or with approval, and look again; first and last.

    Args:
        severities: Of the checks that may have failed.
        run: Number of the run that has found it (template).
        kwargs: More arguments of the first task.
    """
    most = f"var.value.get('entity_stats_repair_most', {REPAIR_MOST})"
    approving = ApproveRepair(
        task_id="approve_repair",
        run=run,
        most=f"{{{{ {most} }}}}",
        doc_md="Asks a person whether more than the limit may be repaired, where the Airflow variable "
        "`entity_stats_approval` names `repair`; without it nobody is asked.",
        **kwargs,
    )
    repairing = SqlOperator(
        task_id="repair",
        sql="call entity_stats.repair(%(run)s, %(most)s)",
        parameters={
            "run": run,
            "most": f"{{{{ {WITHOUT_LIMIT} if ti.xcom_pull(task_ids='approve_repair') else {most} }}}}",
        },
        doc_md="Recalculates the entities that checks of this run found wrong, at most as many as the Airflow variable "
        f"`entity_stats_repair_most` says ({REPAIR_MOST} without it); more are left for a person. What it has changed "
        "is in `entity_stats.correction`. The run still fails: a silent repair would hide a bug.",
    )
    recheck = RecheckOperator(
        task_id="recheck",
        checks=[check for severity in severities for check in checks(severity)],
        run=run,
        doc_md="Runs the checks that have failed again. Fails when a claim still does not hold: the log has its rows.",
    )
    approving >> repairing >> recheck
    return approving, recheck


def repair_found(checked: Sequence[TaskGroup], ready: ReadyOperator, severities: Sequence[str]) -> RecheckOperator:
    """The tasks that repair what checks of this run have found; returns the last of them.

    Args:
        checked: The groups of checks.
        ready: What has let this run pass: unless it has, there is nothing to repair, whatever became of the checks.
        severities: Of the checks in these groups.
    """
    approving, recheck = repair(severities, trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
    [ready, *checked] >> approving
    return recheck


def verdict(task_id: str = "publish", outlets: Sequence[Asset] = (ASSET,)) -> EmptyOperator:
    """The task whose state is the run's: put it after all that has to hold, whatever has been repaired since.

    Args:
        task_id: Its name.
        outlets: What it updates when all holds: users' own DAGs may be scheduled on it.
    """
    return EmptyOperator(
        task_id=task_id,
        outlets=list(outlets),
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        on_success_callback=None,
        doc_md="Decides the state of the run: something before it has failed, or all holds. Then the asset "
        "`entity_stats_cache` is updated by the DAGs that make the cache fresh.",
    )


def summary(start: SqlOperator, title: str, steps: Mapping[str, Sequence[str]]) -> SummaryOperator:
    """The task that closes what `start` opened, whatever happened between; it does not decide the run's state."""
    closing = SummaryOperator(task_id="summary", title=title, run=RUN, steps=steps)
    closing.as_teardown(setups=start)
    return closing


def check_group(severity: str, **kwargs: Any) -> TaskGroup:
    """A group with one task for each check of a severity.

    Args:
        severity: fail, warn or full.
        kwargs: More arguments of the tasks.
    """
    group_id, doc = CHECK_GROUPS[severity]
    with TaskGroup(group_id, tooltip=doc.splitlines()[0], doc_md=doc) as group:
        for check in checks(severity):
            CheckOperator(check=check, run=RUN, **kwargs)
    return group


@task.short_circuit(ignore_downstream_trigger_rules=False)
def full_verify_wanted() -> bool:
    """Let the comparison of everything pass when the param full_verify says so."""
    return bool(get_current_context()["params"]["full_verify"])


@task.branch
def listed_or_active() -> str:
    """Choose by the params whether a run's finds are repaired, listed entities recounted, or all that were active."""
    params = get_current_context()["params"]
    if params["of_run"]:
        if ids_of(params["entity_ids"]):
            raise ParamsRefused("Give entity_ids or of_run, not both.")
        return "approve_repair"
    return "batches_of_ids" if ids_of(params["entity_ids"]) else "active"


def ids_of(typed: str | Sequence[str | int] | None) -> list[int]:
    """The ids of a param: none, a list, or text with one per line or between commas, semicolons and blanks.

    Raises:
        ParamsRefused: An id that does not fit into a bigint, or is not positive.
    """
    words = re.split(r"[\s,;]+", typed) if isinstance(typed, str) else [str(item) for item in typed or ()]
    ids = sorted({int(word) for word in words if word})
    if ids and not 0 < ids[0] <= ids[-1] < 2**63:
        raise ParamsRefused(f"Ids are whole numbers from 1 to {2**63 - 1}: not {ids[0] if ids[0] < 1 else ids[-1]}.")
    return ids


@task
def batches_of_ids() -> list[dict[str, Any]]:
    """The listed entities, BATCH of them for each transaction."""
    params = get_current_context()["params"]
    ids = ids_of(params["entity_ids"])
    return [
        {"entity_type": params["entity_type"], "entity_ids": ids[first : first + BATCH]}
        for first in range(0, len(ids), BATCH)
    ]
