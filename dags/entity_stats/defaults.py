"""Names, arguments and params that all DAGs have in common."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param
from airflow.timetables.trigger import CronTriggerTimetable

from entity_stats.alerts import Alert, Recovery

#: Airflow connection to the killboard database (AIRFLOW_CONN_ENTITY_STATS_DB).
CONNECTION = "entity_stats_db"

#: Updated by each run that has left the cache fresh and without a failing check: schedule DAGs of your own on it.
ASSET = Asset("entity_stats_cache")

ENTITY_TYPES = ("character", "corporation", "alliance")

#: How many entities a run may repair by itself, unless the Airflow variable entity_stats_repair_most says otherwise.
REPAIR_MOST = 100


def at(cron: str) -> CronTriggerTimetable:
    """A schedule in UTC whose runs bear the moment at which they run, however Airflow is configured to read cron."""
    return CronTriggerTimetable(cron, timezone="UTC")


#: Arguments of every DAG. Retries are for trouble that passes: operators fail at once where a retry cannot help.
DAG_ARGUMENTS: dict[str, Any] = {
    "start_date": datetime(2025, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,
    "tags": ["entity_stats"],
    "default_args": {
        "owner": "entity_stats",
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(hours=6),
        "on_failure_callback": Alert(),
        "on_success_callback": Recovery(),
        "on_skipped_callback": Recovery(),
    },
}


def as_of_param() -> Param:
    """The param `as_of`, another for each DAG: a run that is tested in this process writes its value into it."""
    return Param(
        None,
        type=["null", "string"],
        format="date-time",
        pattern=r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d(:?\d\d)?)?$",
        title="As of",
        description="Time in UTC from which the 14, 30 and 90 days count back; in JSON, e.g. 2025-11-24T02:00:00Z. "
        "Default: the run's logical date, else now. A time in the future is refused.",
    )


#: SQL argument for `as_of`, with AS_OF_PARAMETERS. A run's date that is ahead of the server's clock by skew is now.
AS_OF = "coalesce(nullif(%(as_of)s, '')::timestamptz, least(%(run_date)s::timestamptz, now()))"
AS_OF_PARAMETERS = {
    "as_of": "{{ params.as_of or '' }}",
    "run_date": "{{ dag_run.logical_date or dag_run.run_after }}",
}
