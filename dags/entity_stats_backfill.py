"""Fills the entity stats cache from all killmails, while new killmails keep arriving.

Run it once after installation, and with **rebuild** to build a ready cache again from scratch. A run that was
interrupted resumes at the first part that is not done. Writers of killmails wait for a moment at most; readers get
answers from the views until the cache is ready. If it is ready and `rebuild` is off, the run ends skipped at `begin`.

| param | meaning |
|---|---|
| `as_of` | time from which the 14, 30 and 90 days count back; default: the run's logical date, else now |
| `rebuild` | build a ready cache again, while it serves; Airflow's variable `entity_stats_approval` may ask first |
| `history` | fill the history of days and months as well, once the cache is ready (about as long as the backfill) |
| `full_verify` | compare every cell with killmails at the end (takes about as long as the backfill) |

### When a task fails
Temporary trouble (a lost connection, a deadlock, a restart) has been retried already. The log ends with the server's
message and hint. Fix the cause, then clear the failed task or trigger the DAG again: both resume.

* **deploy**: the message names the obstacle (no `killmails`, a missing column, objects not ours). Nothing was changed.
* **guard**: a transaction holds a partition: `select * from pg_stat_activity order by xact_start`. Clear the task then.
* **approve_rebuild**: nobody has answered within 12 hours; trigger the DAG again.
* **begin**: a session holds the gate: `select * from pg_locks where relation = 'entity_stats.gate'::regclass`.
* **phase_...**: `the backfill cannot go on` means TRUNCATE, ATTACH, DETACH or a restore on another server: trigger the
  DAG again, and it starts from scratch. Disk full: a rebuild keeps its totals in `entity_stats.staged`, and a first
  build of more than about ten million killmails needs temporary files.
* **finish**: a phase is not done: clear the phase that failed. Meanwhile facts stay in the ledger; nothing is lost.
* **fill_history**: the cache is ready and serves. Clear the task: it resumes at the month where it stopped.
* **verify**: the rows in the log offend the claim; the task's documentation says what it means and what to do.
* **full**: the same, for every cell.
"""

from datetime import timedelta

from airflow.sdk import Param, TaskGroup, chain

from entity_stats.approval import ApproveRebuild
from entity_stats.defaults import AS_OF, AS_OF_PARAMETERS, DAG_ARGUMENTS, ENTITY_TYPES, as_of_param
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

A first build fills all periods of a type in one statement, in phase 1; the other phases report what it found. A
rebuild stages each period by itself. Finished slices are not repeated: clear a failed task and it resumes.
`the backfill cannot go on`: trigger the DAG again. `entity_stats.phase` has a row for each slice."""

with TestableDAG(
    dag_id="entity_stats_backfill",
    dag_display_name="Entity stats: backfill",
    description="Fill the entity stats cache from all killmails",
    doc_md=__doc__,
    schedule=None,
    params={
        "as_of": as_of_param(),
        "rebuild": Param(
            False, type="boolean", title="Rebuild", description="Build a ready cache again, while it serves."
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
        "entity_stats_backfill", DEADLINE, "Until it is done, readers have the views, or the cache as it was."
    ),
    max_active_tasks=3,
    **DAG_ARGUMENTS,
):
    deploy = DeployOperator(task_id="deploy")
    guard = SqlOperator(task_id="guard", sql="call entity_stats.look_at_source(adopt => true)")
    approve = ApproveRebuild(task_id="approve_rebuild")
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

    chain(deploy, guard, approve, begin, start, *phases, finish)
    finish >> history >> [verify, warnings, full_wanted]
    full_wanted >> full
    [finish, history, verify, full] >> published
    [warnings, published] >> closing
