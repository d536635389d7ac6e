"""Parts of more than one DAG: the run's history, its checks, its summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import TaskGroup, get_current_context, task

from entity_stats.defaults import AS_OF, AS_OF_PARAMETERS
from entity_stats.operators import CheckOperator, SqlOperator, SummaryOperator, scalar
from entity_stats.sql import checks

#: Number of this run in entity_stats.run, as a template.
RUN = "{{ ti.xcom_pull(task_ids='start_run') }}"


def start_run(operation: str) -> SqlOperator:
    """The task that opens this run in entity_stats.run and returns its number; the summary closes it."""
    return SqlOperator(
        task_id="start_run",
        sql=f"select entity_stats.start_run(%(operation)s, {AS_OF}, jsonb_build_object('run', %(run)s::text))",
        parameters={"operation": operation, "run": "{{ run_id }}", **AS_OF_PARAMETERS},
        handler=scalar,
    )


def summary(start: SqlOperator, title: str, steps: Mapping[str, Sequence[str]]) -> SummaryOperator:
    """The task that closes what `start` opened, whatever happened between: a teardown decides no run's state."""
    closing = SummaryOperator(task_id="summary", title=title, run=RUN, steps=steps)
    closing.as_teardown(setups=start)
    return closing


def check_group(group_id: str, severity: str, **kwargs: Any) -> TaskGroup:
    """A group with one task for each check of a severity."""
    with TaskGroup(group_id) as group:
        for check in checks(severity):
            CheckOperator(check=check, run=RUN, **kwargs)
    return group


@task.short_circuit(ignore_downstream_trigger_rules=False)
def full_verify_wanted() -> bool:
    """Let the comparison of everything pass when the param full_verify says so."""
    return bool(get_current_context()["params"]["full_verify"])
