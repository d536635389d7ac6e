"""Fills the entity stats cache from all killmails, while new killmails keep arriving.

Run it once after installation, and again with **rebuild** when the cache has to be built anew. Killed and started
again, it resumes at the first part that is not done. Writers of killmails are never held up for more than a moment;
readers get answers from the views until the cache is ready. On a cache that is ready the run ends skipped at `begin`,
without alert.

| param | meaning |
|---|---|
| `as_of` | time from which the 14, 30 and 90 days count back; default: the run's logical date, else now |
| `rebuild` | build a ready cache anew while it serves |
| `history` | fill the history of days and months as well, once the cache is ready (about as long as the backfill) |
| `full_verify` | compare every cell with killmails at the end (takes about as long as the backfill) |

### When a task fails
Trouble that passes (connection, deadlock, restart of the server) has been retried already; the task's log ends with
the server's message and its hint. After mending the cause, clear the failed task or trigger the DAG again: both resume.

* **deploy**: the message names what is in the way (no `killmails`, a missing column, objects that are not ours, a long
  transaction that holds `killmails`). Nothing has been changed, unless `guard_killmails` is in the message: then all
  is deployed but some triggers, and deploying again creates the rest.
* **begin**: `as_of` lies in the future, or the gate is held: look for the holder in `pg_locks` on `entity_stats.gate`.
* **phase_...**: `the backfill cannot go on` means TRUNCATE, ATTACH, DETACH or a restore on another server: trigger the
  DAG again, it starts anew. Out of disk: a rebuild stages its totals in `entity_stats.staged`, a first build of more
  than about ten million killmails needs temporary files.
* **finish**: slices are not done: clear the phase that failed. Facts stay in the ledger meanwhile, nothing is lost.
* **fill_history**: the cache is ready and serves; clear the task: it goes on at the month where it stopped.
* **verify**: the rows in the log offend the claim; the task's documentation says what it means and what to do.
* **full**: the same for the comparison of everything.
"""

from datetime import timedelta

from airflow.sdk import Param, TaskGroup, chain

from entity_stats.defaults import AS_OF, AS_OF_PARAM, AS_OF_PARAMETERS, DAG_ARGUMENTS, ENTITY_TYPES
from entity_stats.operators import NOT_READY, DeployOperator, SqlOperator
from entity_stats.parts import TestableDAG, check_group, deadline, full_verify_wanted, start_run, summary, verdict

DEADLINE = timedelta(hours=24)

PHASES = {
    "phase_1_all_time": ("all", "Phase 1: Backfilling all-time stats..."),
    "phase_2_90_days": ("90d", "Phase 2: Backfilling 90-day stats..."),
    "phase_3_30_days": ("30d", "Phase 3: Backfilling 30-day stats..."),
    "phase_4_14_days": ("14d", "Phase 4: Backfilling 14-day stats..."),
}

PHASE_DOC = """Totals of one period, one task per entity type, straight from killmails.

A first build fills all periods of a type in one statement, in phase 1, and the other phases say what it found; a
rebuild stages each period by itself, all-time slice by slice. Finished slices are not done again: clear a task that
failed and it goes on. `the backfill cannot go on`: trigger the DAG again. Each slice is a row of
`entity_stats.phase`."""

with TestableDAG(
    dag_id="entity_stats_backfill",
    dag_display_name="Entity stats: backfill",
    description="Fill the entity stats cache from all killmails",
    doc_md=__doc__,
    schedule=None,
    params={
        "as_of": AS_OF_PARAM,
        "rebuild": Param(
            False, type="boolean", title="Rebuild", description="Build a ready cache anew while it serves."
        ),
        "history": Param(True, type="boolean", title="History", description="Fill days and months once it is ready."),
        "full_verify": Param(
            False,
            type="boolean",
            title="Full verification",
            description="Compare every cell with killmails at the end.",
        ),
    },
    deadline=deadline(
        "entity_stats_backfill", DEADLINE, "Readers have the views until it is done, or the cache as it was."
    ),
    max_active_tasks=3,
    **DAG_ARGUMENTS,
):
    deploy = DeployOperator(task_id="deploy")
    begin = SqlOperator(
        task_id="begin",
        sql=f"call entity_stats.backfill_begin({AS_OF}, %(rebuild)s::boolean)",
        parameters={"rebuild": "{{ params.rebuild }}", **AS_OF_PARAMETERS},
        skip_on=[NOT_READY],
    )
    start = start_run("backfill")

    phases = []
    for phase_id, (period, heading) in PHASES.items():
        with TaskGroup(phase_id, tooltip=heading, doc_md=PHASE_DOC) as phase:
            SqlOperator.partial(
                task_id="backfill",
                sql="call entity_stats.backfill_phase(%(period)s, %(entity_type)s)",
                map_index_template="{{ task.parameters['entity_type'] }}",
            ).expand(parameters=[{"period": period, "entity_type": name} for name in ENTITY_TYPES])
        phases.append(phase)

    finish = SqlOperator(task_id="finish", sql="call entity_stats.backfill_finish()")
    history = SqlOperator(
        task_id="fill_history",
        sql=f"call entity_stats.fill_history({AS_OF}, %(wanted)s::boolean)",
        parameters={"wanted": "{{ params.history }}", **AS_OF_PARAMETERS},
    )
    full_wanted = full_verify_wanted()
    verify, warnings, full = check_group("fail"), check_group("warn"), check_group("full")
    published = verdict()
    closing = summary(
        start,
        "Entity Stats Cache Backfill",
        {heading: [f"{phase_id}.backfill"] for phase_id, (_, heading) in PHASES.items()}
        | {"Finishing...": ["finish"], "Filling the history...": ["fill_history"]},
    )

    chain(deploy, begin, start, *phases, finish)
    finish >> history >> [verify, warnings, full_wanted]
    full_wanted >> full
    [finish, history, verify, full] >> published
    [warnings, published] >> closing
