"""Folds what is pending in the ledger, every five minutes; ends at once when there is nothing.

An ordinary READ COMMITTED commit folds its own facts. Pending are those of bulk loads, of other isolation levels, of
sessions that ask for it (`set entity_stats.fold = 'deferred'`), and of faults: they are safe in the ledger, and the
cache lags behind by exactly these facts. The fold takes 500 killmails per transaction and disturbs neither ingests
nor other folds. A running backfill takes in everything that is pending; then this DAG does nothing. It also alerts
when no cleanup has aged the windows, because a cleanup that does not run cannot alert.

### When a task fails
The next run, in five minutes, tries again. An alert is sent once, and a second one when it works again.

* **look**: compares `killmails` with what the cache was deployed on, guards new partitions, and counts those that came
  with killmails. If it may not create triggers, the connection's role must own `killmails`; if a table was in use for
  ten minutes, `select * from pg_locks where relation = 'public.killmails'::regclass` shows its holder (with the name of
  a partition, if the message names one). `select * from entity_stats.status()` shows what it has found.
* **fold**: see the server's message and its hint. `select * from entity_stats.status()` says how much is pending. When
  that does not decrease, see who holds the gate:
  `select * from pg_locks where relation = 'entity_stats.gate'::regclass`.
* **night**: no cleanup has aged the windows in the last 26 hours, so they hold killmails that are too old. Find out
  why `entity_stats_daily_cleanup` does not run or finish; if it is paused:
  `airflow dags unpause entity_stats_daily_cleanup`. Then `airflow dags trigger entity_stats_daily_cleanup`: it catches
  up on missed nights.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from entity_stats.defaults import DAG_ARGUMENTS, at
from entity_stats.operators import NOT_DEPLOYED, SqlOperator, scalar

with DAG(
    dag_id="entity_stats_fold_pending",
    dag_display_name="Entity stats: fold pending",
    description="Fold what bulk loads have left pending, and alert when a night was missed",
    doc_md=__doc__,
    schedule=at("*/5 * * * *"),
    dagrun_timeout=timedelta(hours=7),
    **DAG_ARGUMENTS,
):
    soon: dict[str, Any] = {
        "skip_on": [NOT_DEPLOYED],
        "retries": 2,
        "retry_exponential_backoff": False,
        "priority_weight": 10,
        "weight_rule": "absolute",
    }
    look = SqlOperator(task_id="look", sql="call entity_stats.look_at_source()", **soon)
    fold = SqlOperator(task_id="fold", sql="call entity_stats.fold_pending()", **soon)
    night = SqlOperator(task_id="night", sql="select entity_stats.require_fresh_windows()", handler=scalar, **soon)
    look >> fold
    look >> night
