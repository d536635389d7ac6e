"""Compares every figure of the cache with killmails, every Sunday at 04:00 UTC and whenever you run it.

Besides the claims that the daily cleanup checks, it compares every cell of every entity with a recount of all
killmails, one task per entity type: that takes about as long as a backfill, and blocks nobody. What it finds wrong is
repaired, within a limit, and the run still fails. While the cache is not ready, the run ends skipped at `ready`.

The Airflow variable `entity_stats_repair_most` sets how many entities a run may repair (100 without it). With
`repair` in the variable `entity_stats_approval`, a run that finds more asks a person whether to repair them all.

### When a task fails
* **ready**: the database does not answer, or the connection `entity_stats_db` is wrong.
* **verify**: the rows in the log offend the claim; the task's documentation says what it means and what to do.
* **full**: the rows in the log differ from killmails: the cell, what the cache says, what is true. Something has
  changed killmails or the cache unseen by the triggers; the task's documentation says what to look for.
* **approve_repair**: nobody has answered within 12 hours; clear the task to be asked again.
* **repair**: see the server's message; `select entity_stats.recalculate(id, type)` repairs a single entity.
* **recheck**: more is wrong than a run may repair, or recalculation does not help: the log shows the rows.
  `airflow dags trigger entity_stats_backfill --conf '{"rebuild": true}'` builds all again, while the cache serves.
"""

from datetime import timedelta

from entity_stats.defaults import DAG_ARGUMENTS, as_of_param, at
from entity_stats.operators import ReadyOperator
from entity_stats.parts import TestableDAG, check_group, deadline, repair_found, start_run, summary, verdict

SEVERITIES = ("fail", "warn", "full")

DEADLINE = timedelta(hours=12)

with TestableDAG(
    dag_id="entity_stats_verify",
    dag_display_name="Entity stats: verify",
    description="Compare every cell of the cache with killmails",
    doc_md=__doc__,
    schedule=at("0 4 * * 0"),
    params={"as_of": as_of_param()},
    deadline=deadline("entity_stats_verify", DEADLINE, "That does not mean that the cache is wrong."),
    max_active_tasks=3,
    **DAG_ARGUMENTS,
):
    ready = ReadyOperator(task_id="ready")
    start = start_run("verify")
    verify, warnings, full = [check_group(severity) for severity in SEVERITIES]
    recheck = repair_found([verify, full], ready, ["fail", "full"])
    decided = verdict("verdict", outlets=[])
    closing = summary(start, "Entity Stats Cache Verification", {"Repairing...": ["repair", "recheck"]})

    ready >> start >> [verify, warnings, full]
    [verify, full, recheck] >> decided
    [warnings, decided] >> closing
