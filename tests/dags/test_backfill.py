"""entity_stats_backfill, run by Airflow against a real server."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime
from typing import ClassVar

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowException, ParamValidationError

from entity_stats.defaults import ENTITY_TYPES
from entity_stats.operators import SqlOperator
from entity_stats.sql import checks
from tests.dags.conftest import Airflow, Run
from tests.fixtures.worlds import until

DAG_ID = "entity_stats_backfill"
PHASES = ["phase_1_all_time", "phase_2_90_days", "phase_3_30_days", "phase_4_14_days"]


def refused(run: Run) -> str:
    """The one task of a run that has failed by itself."""
    [task] = [name for name, state in run.tasks.items() if state == "failed"]
    return task


def test_it_fills_the_cache(filled: Airflow) -> None:
    run = filled.run(DAG_ID, {"full_verify": True})
    assert run.state == "success"
    for phase in PHASES:
        assert [run.labels[f"{phase}.backfill[{n}]"] for n in range(3)] == list(ENTITY_TYPES)
    ran = {"fail": run.group("verify"), "full": run.group("full"), "warn": run.group("warnings")}
    for severity, group in ran.items():
        assert sorted(group) == [check.claim for check in checks(severity)]
    assert {*ran["fail"].values(), *ran["full"].values()} <= {"success"}

    database = filled.database
    assert database.oracle() == []
    assert database.history_oracle() == []
    assert database.value("select count(*) from entity_stats.month") > 0
    entities = database.value("select count(*) from public.entity_stats_cache")
    assert entities > 0
    [[operation, outcome, steps]] = database.fetch("select operation, outcome, steps from entity_stats.run")
    assert (operation, outcome) == ("backfill", "success")
    assert sorted(steps) == [
        "Filling the history...",
        "Finishing...",
        "Phase 1: Backfilling all-time stats...",
        "Phase 2: Backfilling 90-day stats...",
        "Phase 3: Backfilling 30-day stats...",
        "Phase 4: Backfilling 14-day stats...",
    ]
    # The specification's expected output.
    for line in (
        r"Entity Stats Cache Backfill",
        r"Phase 1: Backfilling all-time stats\.\.\.",
        r"✓ Backfilled [\d,]+ characters \(all-time\) in [\d,]+ ms",
        r"✓ Backfilled [\d,]+ corporations \(90d\) in [\d,]+ ms",
        r"✓ Backfilled [\d,]+ alliances \(14d\) in [\d,]+ ms",
        r"Total time: \d+m \d+s",
        rf"Total entities: {entities:,}",
    ):
        assert re.search(line, run.log), line


@pytest.mark.usefixtures("few_claims")
def test_without_history(filled: Airflow) -> None:
    """A site that does not want a history has none."""
    run = filled.run(DAG_ID, {"history": False})
    assert run.state == "success"
    assert "No history is kept" in run.log
    assert filled.database.value("select count(*) from entity_stats.month") == 0


def test_a_ready_cache_is_left_alone(ready: Airflow) -> None:
    before = ready.database.fetch("select * from entity_stats.status()")
    run = ready.run(DAG_ID)
    assert run.state == "success"
    assert [run.tasks.pop(task) for task in ("deploy", "guard", "approve_rebuild")] == ["success"] * 3
    assert set(run.tasks.values()) == {"skipped"}
    assert "rebuild" in run.log
    assert ready.database.fetch("select * from entity_stats.status()") == before
    assert ready.database.fetch("select from entity_stats.run") == []


@pytest.mark.usefixtures("few_claims")
def test_rebuild_builds_a_ready_cache_anew(ready: Airflow) -> None:
    ready.database.execute('update public.entity_stats_cache set "kills30d" = "kills30d" + 1 where "entityId" % 7 = 0')
    as_of = datetime.now(UTC).isoformat()
    run = ready.run(DAG_ID, {"rebuild": True, "as_of": as_of})
    assert run.state == "success"
    assert ready.database.oracle() == []
    assert ready.database.value('select "asOf" from entity_stats.status()') == datetime.fromisoformat(as_of)


@pytest.mark.usefixtures("few_claims")
def test_a_claim_that_does_not_hold_fails_the_run(filled: Airflow) -> None:
    # What the source says is not what the cache gets: a value written behind the triggers' back, between finish and verify.
    filled.database.execute("""
        create function test_break() returns trigger language plpgsql as $$
        begin
            update public.entity_stats_cache as c set "kills14d" = c."kills30d" + 1 where c."entityId" = (select min(e."entityId") from public.entity_stats_cache as e);
            return null;
        end $$;
        create trigger break after update on entity_stats.state for each row
        when (old.status <> 'ready' and new.status = 'ready') execute function test_break();
    """)
    run = filled.run(DAG_ID)
    assert run.state == "failed"
    assert "failed" in run.group("verify").values()
    assert run.tasks["publish"] == "upstream_failed"
    assert run.tasks["summary"] == "success"
    assert filled.database.fetch("select outcome from entity_stats.run") == [("failure",)]


@pytest.mark.parametrize(
    "conf", [{"as_of": "yesterday"}, {"rebuild": "no"}, {"full_verify": 3}], ids=lambda conf: next(iter(conf))
)
def test_params_are_validated(airflow: Airflow, conf: dict[str, object]) -> None:
    dag = airflow.dag(DAG_ID)
    with pytest.raises(ParamValidationError):
        dag.params.update(conf)


@pytest.mark.usefixtures("few_claims")
def test_the_future_is_refused(filled: Airflow) -> None:
    run = filled.run(DAG_ID, {"as_of": "2999-01-01T00:00:00Z"})
    assert run.state == "failed"
    assert refused(run) == "deploy"  # before anything is done
    assert filled.database.value("select status from entity_stats.status()") == "empty"


def test_a_task_that_is_killed_cancels_its_query(filled: Airflow) -> None:
    database = filled.database
    operator = SqlOperator(task_id="sleep", sql="select pg_sleep(600) /* test */")
    ended: list[BaseException] = []

    class Ti:
        dag_id, task_id, run_id, map_index = DAG_ID, "sleep", "test", 1

    class Dag:
        params: ClassVar[dict[str, object]] = {}

    def execute() -> None:
        try:
            operator.execute({"ti": Ti(), "dag": Dag(), "params": {}})  # type: ignore[typeddict-item]
        except BaseException as error:
            ended.append(error)

    worker = threading.Thread(target=execute)
    worker.start()
    sleeps = (
        "select count(*) = %s from pg_stat_activity where datname = current_database() and state = 'active' "
        "and application_name = 'entity_stats_backfill/sleep[1]/test' and query like '%%pg_sleep%%'"
    )
    until(database, sleeps, [1])
    operator.on_kill()
    until(database, sleeps, [0])
    worker.join()
    [error] = ended
    assert isinstance(error, AirflowException)
    assert isinstance(error.__cause__, psycopg.errors.QueryCanceled)
