"""Ages the windows every night at 02:00 UTC, and proves that the cache is exact.

Killmails that have become older than 14, 30 or 90 days leave that window, in small steps while new ones arrive; the
history's days are closed; missed nights are caught up. New partitions get their triggers, pending facts are folded,
leaderboards get new lists, all entities are ranked. Then every claim is checked. What a check finds wrong is repaired,
within a limit, and **the run still fails**: somebody should know. While the cache is not ready, the run ends skipped
at `ready`, without an alert. You may run it by hand at any time; after an interruption it resumes.

| param | meaning |
|---|---|
| `as_of` | time from which the 14, 30 and 90 days count back; default: the run's logical date, else now |

The Airflow variable `entity_stats_repair_most` sets how many entities a run may repair (100 without it). With
`repair` in the variable `entity_stats_approval`, a run that finds more asks a person whether to repair them all.

### When a task fails
Temporary trouble has been retried already. Clear the failed task, or leave it to the next night.

* **ready**: the database does not answer, or the connection `entity_stats_db` is wrong.
* **guard**: a long transaction holds a new partition: `select * from pg_stat_activity order by xact_start` shows it.
  End it with `select pg_terminate_backend(pid)`, then clear the task. Until then, rows that are loaded directly into
  that partition are not counted; a recalculation adds them.
* **fold**: facts stay pending, nothing is lost. See the server's message, then `call entity_stats.fold_pending()`.
* **age**: the windows stay as they were; the next run continues from there. If the message names the gate, a session
  holds it: `select * from pg_locks where relation = 'entity_stats.gate'::regclass`.
* **close_history**: days stay open, reads count them from killmails, the next night catches up. See the message.
* **mark_leaders**: the leaderboards keep their present lists and stay exact. See the server's message.
* **rank_entities**: ranks stay those of the last cleanup. See the server's message.
* **verify**: the rows in the log offend the claim; the task's documentation says what it means and what to do.
* **approve_repair**: nobody has answered within 12 hours; clear the task to be asked again.
* **repair**: see the server's message; `select entity_stats.recalculate(id, type)` repairs a single entity.
* **recheck**: more is wrong than a run may repair, or recalculation does not help: the log shows the rows.
  `airflow dags trigger entity_stats_backfill --conf '{"rebuild": true}'` builds all again, while the cache serves.
* **prune**: records of runs older than 90 days stay; nothing depends on it.
"""

from datetime import timedelta

from airflow.sdk import TaskGroup, TriggerRule, chain

from entity_stats.defaults import AS_OF, AS_OF_PARAMETERS, DAG_ARGUMENTS, as_of_param, at
from entity_stats.operators import NOT_READY, ReadyOperator, SqlOperator, scalar
from entity_stats.parts import TestableDAG, check_group, deadline, repair_found, start_run, summary, verdict

#: The narrow windows first, so that they stay within the wider ones at every commit.
PERIODS = ("14d", "30d", "90d")

DEADLINE = timedelta(hours=2)

AGE_DOC = """One task per window: moves its cutoff forward, 200 killmails per transaction, and subtracts what has left.

A task ends skipped while a rebuild is running: the windows do not move until it has finished."""

with TestableDAG(
    dag_id="entity_stats_daily_cleanup",
    dag_display_name="Entity stats: daily cleanup",
    description="Age the windows, check every claim, repair what is wrong",
    doc_md=__doc__,
    schedule=at("0 2 * * *"),
    params={"as_of": as_of_param()},
    deadline=deadline("entity_stats_daily_cleanup", DEADLINE, "The windows may be older than a day."),
    **DAG_ARGUMENTS,
):
    ready = ReadyOperator(task_id="ready")
    start = start_run("cleanup")
    guard = SqlOperator(task_id="guard", sql="call entity_stats.look_at_source()")
    fold = SqlOperator(task_id="fold", sql="call entity_stats.fold_pending()")
    with TaskGroup("age", tooltip="Age the windows", doc_md=AGE_DOC) as age:
        chain(
            *[
                SqlOperator(
                    task_id=f"age_{period}",
                    sql=f"call entity_stats.age_window(%(period)s, {AS_OF})",
                    parameters={"period": period, **AS_OF_PARAMETERS},
                    skip_on=[NOT_READY],
                )
                for period in PERIODS
            ]
        )
    close = SqlOperator(
        task_id="close_history", sql=f"call entity_stats.close_history({AS_OF})", parameters=AS_OF_PARAMETERS
    )
    leaders = SqlOperator(task_id="mark_leaders", sql="call entity_stats.mark_leaders()")
    ranks = SqlOperator(
        task_id="rank_entities", sql=f"call entity_stats.rank_entities({AS_OF})", parameters=AS_OF_PARAMETERS
    )
    checked = [
        check_group(severity, trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS) for severity in ("fail", "warn")
    ]
    recheck = repair_found(checked[:1], ready, ["fail"])
    published = verdict()
    prune = SqlOperator(task_id="prune", sql="select entity_stats.prune_runs()", handler=scalar)
    closing = summary(
        start,
        "Entity Stats Cache Cleanup",
        {
            "Guarding new partitions...": ["guard"],
            "Folding pending killmails...": ["fold"],
            "Ageing the windows...": [f"age.age_{period}" for period in PERIODS],
            "Closing days of the history...": ["close_history"],
            "Drawing the leaderboards' marks...": ["mark_leaders"],
            "Ranking everybody...": ["rank_entities"],
            "Repairing...": ["repair", "recheck"],
        },
    )

    chain(ready, start, guard, fold, age, leaders, ranks)
    fold >> close
    [fold, age, close] >> checked[0]
    [fold, age, close] >> checked[1]
    [checked[0], recheck] >> published
    start >> prune
    [published, checked[1], ranks, prune] >> closing
