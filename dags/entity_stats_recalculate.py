"""Recounts entities from killmails, exactly, while killmails arrive.

For changes that the triggers did not see: a partition restored, attached or dropped with its rows, or a manual edit
of the cache. Figures that are right are not touched. Every cell that was changed is in the log and in
`entity_stats.correction`. When much is wrong, `entity_stats_backfill` with `rebuild` is faster.

| param | meaning |
|---|---|
| `entity_type` | type of the ids: character, corporation or alliance |
| `entity_ids` | the entities to recount, 200 per transaction; empty: all that were active |
| `active_days` | without ids: every entity with a killmail in that many days, or with a count in a window |
| `of_run` | repair what the checks of this run (its number in `entity_stats.run`) have listed, and check again |

### When a task fails
* **ready**: the database does not answer, or the connection `entity_stats_db` is wrong.
* **listed_or_active**: the params contradict each other: the message says which.
* **listed**: see the server's message. What was recounted so far is committed: clear the task, or trigger a new run.
* **active**: the same.
* **approve_repair**: nobody has answered within 12 hours; clear the task to be asked again.
* **repair**: see the server's message; `select entity_stats.recalculate(id, type)` repairs a single entity.
* **recheck**: more is wrong than a run may repair, or recalculation does not help: the log shows the rows.
  `airflow dags trigger entity_stats_backfill --conf '{"rebuild": true}'` builds all again, while the cache serves.
"""

from airflow.sdk import DAG, Param

from entity_stats.defaults import AS_OF, AS_OF_PARAMETERS, DAG_ARGUMENTS, ENTITY_TYPES, as_of_param
from entity_stats.operators import ReadyOperator, SqlOperator, corrections
from entity_stats.parts import batches_of_ids, listed_or_active, repair, start_run, summary

with DAG(
    dag_id="entity_stats_recalculate",
    dag_display_name="Entity stats: recalculate",
    description="Recount entities from killmails",
    doc_md=__doc__,
    schedule=None,
    params={
        "entity_type": Param(
            ENTITY_TYPES[0],
            type="string",
            enum=[*ENTITY_TYPES],
            title="Type of the entities",
            description="Of the ids below.",
        ),
        "entity_ids": Param(
            None,
            type=["null", "string", "array"],
            format="multiline",
            pattern=r"^[0-9\s,;]*$",
            items={"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^[0-9]+$"}]},
            maxItems=10_000,
            title="Ids of the entities",
            description="One per line, or with commas between. Empty: all entities that were active, of every type.",
        ),
        "active_days": Param(
            90,
            type="integer",
            minimum=1,
            maximum=36_500,
            title="Active days",
            description="Without ids: recount every entity with a killmail in that many days.",
        ),
        "of_run": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Repair what a run has found",
            description="Number of the run whose checks list the entities; the claims that failed are checked again.",
        ),
        "as_of": as_of_param(),
    },
    max_active_tasks=3,
    **DAG_ARGUMENTS,
):
    ready = ReadyOperator(task_id="ready")
    start = start_run("recalculation")
    choice = listed_or_active()
    batches = batches_of_ids()
    listed = SqlOperator.partial(
        task_id="listed",
        sql="select * from entity_stats.recalculate_entities(%(entity_type)s, %(entity_ids)s::bigint[])",
        handler=corrections,
        map_index_template="{{ task.parameters['entity_type'] }} {{ task.parameters['entity_ids'][0] }}...",
    ).expand(parameters=batches)
    active = SqlOperator(
        task_id="active",
        sql=f"call entity_stats.recalculate_active({AS_OF}, %(days)s)",
        parameters={"days": "{{ params.active_days }}", **AS_OF_PARAMETERS},
    )
    approving, recheck = repair(["fail", "full"], run="{{ params.of_run }}")
    closing = summary(
        start,
        "Entity Stats Cache Recalculation",
        {"Recalculating listed entities...": ["listed"], "Recalculating active entities...": ["active"]}
        | {"Repairing...": ["repair"]},
    )

    ready >> start >> choice >> [batches, active, approving]
    [listed, active, recheck] >> closing
