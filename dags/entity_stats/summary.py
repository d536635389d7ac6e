"""The operator that ends a run: says what was done, and closes the run's record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context

from entity_stats.errors import record, table
from entity_stats.operators import SqlOperator


class SummaryOperator(SqlOperator):
    """Logs what a run has done, in the manner of the specification's expected output, and closes its history.

    Args:
        title: First line.
        run: Number in entity_stats.run (templated).
        steps: Headings, and the tasks whose results stand under each.
    """

    template_fields: Sequence[str] = ("run",)

    def __init__(self, *, title: str, run: str, steps: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.title = title
        self.run = run
        self.steps = dict(steps)

    def execute(self, context: Context) -> None:
        """Log the summary, close the run."""
        ti, dag_run = context["ti"], context["dag_run"]
        done: dict[str, list[str]] = {}
        for heading, task_ids in self.steps.items():
            found = ti.xcom_pull(task_ids=list(task_ids))
            done[heading] = [line for result in found if result for line in str(result).splitlines()]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        failed = sorted(task for task, state in states.items() if state in ("failed", "upstream_failed"))
        seconds = (datetime.now(UTC) - (dag_run.start_date or datetime.now(UTC))).total_seconds()
        outcome = "failure" if failed else "success"

        with self.session(context) as hook:
            [cache] = hook.rows("select total from public.get_stats_cache_summary()")
            parameters = {"run": self.run, "outcome": outcome, "steps": json.dumps(done), "failed": failed}
            checked = hook.rows(
                "select severity, claim, offending,"
                " to_char(1000 * date_part('epoch', duration), 'FM999,999,999,990') || ' ms' as took"
                ' from entity_stats.check_run where run = %(run)s order by severity, claim, "checkedAt"',
                parameters,
            )
            [status] = hook.rows("select * from entity_stats.status()")
            hook.run(
                "select entity_stats.finish_run(%(run)s, %(outcome)s, %(steps)s::jsonb, %(failed)s::text[])",
                autocommit=True,
                parameters=parameters,
            )

        lines = ["", "=" * 80, self.title, "=" * 80]
        for heading, results in done.items():
            if results:
                lines += ["", heading, *[f"✓ {result}" for result in results]]
        if checked:
            lines += ["", "Checks:", table(checked)]
        if failed:
            lines += ["", "Failed: " + ", ".join(failed)]
        lines += ["", "Cache:", record(status)]
        lines += ["", f"Total time: {int(seconds // 60)}m {int(seconds % 60)}s"]
        lines += [f"Total entities: {cache['total']:,}"]
        for line in lines:
            self.log.info("%s", line)
