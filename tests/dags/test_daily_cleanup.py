"""entity_stats_daily_cleanup, run by Airflow against a real server."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC

import pytest

from entity_stats.sql import checks
from local.server import EmbeddedServer
from tests.dags.conftest import Airflow
from tests.fixtures.database import Database, Databases
from tests.fixtures.worlds import until

DAG_ID = "entity_stats_daily_cleanup"
AGED = ["age_14d", "age_30d", "age_90d"]
CORRUPTION = """
    update public.entity_stats_cache as c
    set "kills90d" = c."kills90d" + 1
    from (select e."entityType", e."entityId" from public.entity_stats_cache as e where e."kills90d" > 0 order by 1, 2 limit %s) as broken
    where c."entityType" = broken."entityType" and c."entityId" = broken."entityId"
"""


@pytest.fixture
def aged(filled: Airflow) -> Airflow:
    """A cache whose windows are three weeks old, with a bulk load that is pending."""
    database = filled.database
    database.execute("call entity_stats.backfill(now() - interval '21 days')")
    database.execute("call entity_stats.fill_history(now() - interval '21 days')")
    with database.connect() as session:
        session.execute("set entity_stats.fold = 'deferred'")
        session.execute("select sample.generate_killmails(50, now() - interval '60 days', now(), 7)")
    assert database.value("select pending from entity_stats.status()") > 0
    return filled


def test_it_ages_the_windows_and_checks_every_claim(aged: Airflow) -> None:
    database = aged.database
    run = aged.run(DAG_ID)
    assert run.state == "success"
    assert run.group("age") == dict.fromkeys(AGED, "success")
    assert run.group("verify") == {check.claim: "success" for check in checks("fail")}
    assert sorted(run.group("warnings")) == [check.claim for check in checks("warn")]
    assert run.tasks["publish"] == run.tasks["summary"] == "success"
    assert run.tasks["recheck"] == "skipped"
    assert database.oracle() == []
    assert database.history_oracle() == []
    assert database.value("select pending from entity_stats.status()") == 0
    [as_of] = database.fetch(
        'select "asOf" from entity_stats.run where operation = %s and outcome = %s', ["cleanup", "success"]
    )
    assert database.value('select "closedTo" from entity_stats.history') == as_of[0].astimezone(UTC).date()
    assert (
        database.value(
            "select cutoff14d + interval '14 days' from (select \"cutoff14d\" as cutoff14d from entity_stats.status()) as s"
        )
        == as_of[0]
    )
    for line in (
        r"✓ Folded \d+ pending killmails",
        r"✓ The history is closed up to \d{4}-\d\d-\d\d",
        r"asOf +\d{4}-\d\d-\d\d [\d:]{8} UTC$",
        r"\| fail +\| windows_are_exact +\| 0 +\| [\d,]+ ms +\|",
        r"✓ Aged [1-9]\d* killmails out of 30d, which begins at \d{4}-\d\d-\d\d [\d:]{8} UTC now, in [\d,]+ ms",
    ):
        assert re.search(line, run.log, re.MULTILINE), line


def test_it_is_skipped_until_the_cache_is_ready(filled: Airflow) -> None:
    run = filled.run(DAG_ID)
    assert run.state == "success"
    assert set(run.tasks.values()) == {"skipped"}
    assert "The cache is empty: entity_stats_backfill fills it" in run.log


def test_it_is_skipped_where_nothing_is_deployed(
    airflow: Airflow, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    with databases.bare() as bare:
        monkeypatch.setenv("AIRFLOW_CONN_ENTITY_STATS_DB", bare.uri)
        run = airflow.run(DAG_ID)
    assert run.state == "success"
    assert set(run.tasks.values()) == {"skipped"}


@pytest.mark.usefixtures("few_claims")
def test_while_a_rebuild_is_running_the_windows_stand_still(ready: Airflow) -> None:
    ready.database.execute("call entity_stats.backfill_begin(rebuild => true)")
    run = ready.run(DAG_ID)
    assert run.state == "success"
    assert set(run.group("age").values()) == {"skipped"}, run.log
    assert set(run.group("verify").values()) == {"success"}


def test_what_is_wrong_is_repaired_and_fails_the_run_all_the_same(ready: Airflow) -> None:
    ready.database.execute(CORRUPTION, [3])
    command = [sys.executable, "-m", "airflow", "dags", "test", DAG_ID]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stdout[-5000:]
    assert "The claim windows_are_exact does not hold." in result.stdout
    assert ready.database.oracle() == []
    found = ready.database.fetch(
        "select claim, array_agg(offending order by \"checkedAt\") from entity_stats.check_run where offending > 0 or claim = 'windows_are_exact' group by claim"
    )
    assert dict(found)["windows_are_exact"] == [3, 0]
    assert ready.database.value("select count(*) from entity_stats.correction where \"column\" = 'kills90d'") == 3
    assert ready.database.value("select outcome from entity_stats.run") == "failure"


@pytest.mark.usefixtures("few_claims")
def test_more_than_a_run_may_repair_is_left_for_a_person(ready: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_ENTITY_STATS_REPAIR_MOST", "2")
    ready.database.execute(CORRUPTION, [3])
    run = ready.run(DAG_ID)
    assert run.state == "failed"
    assert run.tasks["verify.windows_are_exact"] == run.tasks["recheck"] == "failed"
    assert run.tasks["publish"] == "upstream_failed"
    assert "left for a person" in run.log
    assert ready.database.fetch("select from entity_stats.correction") == []


@pytest.mark.usefixtures("few_claims")
def test_the_database_restarts_meanwhile(
    own_server: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The task that loses its session is tried again, and the run goes on."""
    waiting = "application_name like 'entity_stats_daily_cleanup/age.age_14d/%' and wait_event = 'PgSleep'"
    with closing(Databases(own_server)) as databases, databases.site() as database:
        monkeypatch.setenv("AIRFLOW_CONN_ENTITY_STATS_DB", database.uri)
        database.execute("select sample.generate_killmails(600, now() - interval '120 days', now())")
        database.execute("call entity_stats.backfill(now() - interval '3 days')")
        database.close()

        def restart() -> None:
            observer = Database(own_server, database.name)
            until(observer, f"select count(*) = 1 from pg_stat_activity where {waiting}")
            observer.close()
            own_server.restart()  # with it goes whoever holds the gate

        holder = database.connect(autocommit=False)
        holder.execute("lock table entity_stats.gate in row share mode")
        restarter = threading.Thread(target=restart)
        restarter.start()
        run = Airflow(database, caplog, capsys).run(DAG_ID, retries=1)
        restarter.join()
        holder.close()
        assert run.state == "success"
        assert run.group("age") == dict.fromkeys(AGED, "success")
        assert "terminating connection due to administrator command" in run.log
        assert database.oracle() == []


@pytest.mark.usefixtures("few_claims")
def test_killed_and_run_again_it_goes_on(aged: Airflow) -> None:
    database = aged.database
    ageing = "datname = current_database() and application_name like 'entity_stats_daily_cleanup/age.age_14d/%'"

    def kill() -> None:
        observer = Database(database.server, database.name)
        until(observer, f"select count(*) = 1 from pg_stat_activity where {ageing} and wait_event = 'PgSleep'")
        observer.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {ageing}")
        observer.close()

    # Closing the history waits for the gate as well, and comes first: there is nothing to close.
    database.execute("call entity_stats.close_history()")
    with database.connect(autocommit=False) as holder:
        holder.execute("lock table entity_stats.gate in row share mode")
        killer = threading.Thread(target=kill)
        killer.start()
        killed = aged.run(DAG_ID)
        killer.join()
    assert killed.state == "failed"
    assert killed.tasks["age.age_14d"] == "failed"
    assert killed.tasks["age.age_30d"] == "upstream_failed"
    again = aged.run(DAG_ID)
    assert again.state == "success"
    assert again.group("age") == dict.fromkeys(AGED, "success")
    assert database.oracle() == []
