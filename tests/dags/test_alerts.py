"""Alerts: what they say, to whom, and how often; sent by runs in this process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from apprise import Apprise

from entity_stats.alerts import CONNECTION, incidents, late, triage
from entity_stats.errors import ClaimsBroken, Offence
from entity_stats.sql import Check, checks
from tests.dags.conftest import Airflow
from tests.fixtures.database import ROOT
from tests.fixtures.receivers import Inbox, webhook

FOLD = "entity_stats_fold_pending"

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


def test_a_database_that_is_down_is_told_once(airflow: Airflow, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as down:
        down.setenv("AIRFLOW_CONN_ENTITY_STATS_DB", "postgresql://nobody@127.0.0.1:1/nowhere")
        for dag_id in (FOLD, "entity_stats_daily_cleanup", FOLD):
            assert airflow.run(dag_id).state == "failed"
    assert inbox.titles == ["PostgreSQL does not answer"]
    [[_, text]] = inbox.messages
    assert "Connection refused" in text
    assert f"Run: {FOLD}, manual__" in text
    assert "Log: http" in text
    assert "What to do: check that it is running" in text

    for _ in range(2):
        assert airflow.run(FOLD).state == "success"
    assert inbox.titles == ["PostgreSQL does not answer", "Solved: PostgreSQL does not answer"]


def test_a_task_that_fails_is_told_with_what_to_do(airflow: Airflow, inbox: Inbox) -> None:
    airflow.database.execute("drop procedure entity_stats.fold_pending")
    for _ in range(2):
        assert airflow.run(FOLD).state == "failed"
    assert inbox.titles == [f"{FOLD}: fold has failed"]
    [[_, text]] = inbox.messages
    assert "procedure entity_stats.fold_pending() does not exist" in text
    assert "What to do: see the server's message and its hint." in text


@pytest.mark.parametrize(
    ("state", "told"), [("running", True), ("queued", True), ("failed", False), ("success", False)]
)
def test_a_deadline_tells_of_runs_that_have_not_ended(airflow: Airflow, inbox: Inbox, state: str, told: bool) -> None:
    """Airflow's deadlines outlive a run that has failed, which has been told as that."""
    run = {"dag_id": FOLD, "dag_run_id": "scheduled__1", "state": state}
    late({"dag_run": run, "deadline": {"deadline_time": "04:00"}}, "has not finished within 2 h", "It is late.")
    assert inbox.titles == (["has not finished within 2 h"] if told else [])


def test_without_a_connection_it_is_a_line_in_the_log(airflow: Airflow) -> None:
    airflow.database.execute("drop procedure entity_stats.fold_pending")
    run = airflow.run(FOLD)
    assert run.tasks == {"look": "success", "fold": "failed", "night": "success"}
    assert f"No alert is sent, there is no Airflow connection {CONNECTION}" in run.log


def test_what_no_service_took_is_told_again(airflow: Airflow, inbox: Inbox) -> None:
    airflow.database.execute("drop procedure entity_stats.fold_pending")
    inbox.status = 500
    run = airflow.run(FOLD)
    assert f"Not every service of the connection {CONNECTION} took" in run.log
    assert inbox.messages == []
    inbox.status = 200
    assert airflow.run(FOLD).state == "failed"
    assert inbox.titles == [f"{FOLD}: fold has failed"]


@pytest.mark.parametrize("check", [*checks("fail"), *checks("full")], ids=lambda check: check.claim)
def test_a_message_fits_whatever_the_rows(check: Check) -> None:
    row = {"entityId": 2**62, "entityType": "corporation", **{f"column{n}": "9" * 100 for n in range(9)}}
    [incident] = incidents({"exception": ClaimsBroken(Offence(check, 123_456, [row] * 500))})
    assert incident.title == f"{check.claim} does not hold: 123,456 rows"
    assert len(incident.title) + len(incident.body) < 1_700  # the run and its log follow
    assert check.text in incident.body  # with its remedy
    assert "corporation" in incident.body
    assert "123,456 rows, for example:" in incident.body


def test_every_task_has_advice() -> None:
    from airflow.dag_processing.dagbag import DagBag

    nothing = triage("", "task")
    for dag in DagBag(ROOT / "dags").dags.values():
        for task in dag.tasks:
            if task.task_id not in (
                "start_run",
                "summary",
                "publish",
                "verdict",
                "full_verify_wanted",
                "batches_of_ids",
            ):
                advised = task.task_id.startswith("warnings.") or triage(dag.doc_md or "", task.task_id) != nothing
                assert advised, f"{dag.dag_id}: {task.task_id}"


def alert_test(folder: Path, connection: str | None) -> subprocess.CompletedProcess[str]:
    """`make alert-test`, with the Python that runs the tests."""
    installed = folder / "installed"
    installed.touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MAKE"))}
    environment |= {"AIRFLOW_HOME": str(folder)}
    if connection:
        environment["AIRFLOW_CONN_ENTITY_STATS_ALERTS"] = connection
    return subprocess.run(
        ["make", "alert-test", f"STAMP={installed}", f"BIN={Path(sys.executable).parent}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_runbooks_connection_is_tried(tmp_path: Path) -> None:
    [exported] = re.findall(r"AIRFLOW_CONN_ENTITY_STATS_ALERTS='(.*?)'", RUNBOOK, re.DOTALL)
    connection = json.loads(exported)
    services = connection["extra"]["config"]
    urls = [service["path"] for service in services]
    kinds = [type(Apprise.instantiate(url)).__name__ for url in urls]
    assert kinds == ["NotifyDiscord", "NotifySlack", "NotifyEmail", "NotifyJSON"]
    with webhook() as first, webhook() as second:
        services[:] = [{**services[0], "path": inbox.url} for inbox in (first, second)]
        done = alert_test(tmp_path, json.dumps(connection))
        assert done.returncode == 0, done.stderr
        assert (first.titles, second.titles) == (["test message"], ["test message"])
        # One that does not take it is enough to say so.
        second.status = 500
        refused = alert_test(tmp_path, json.dumps(connection))
        assert refused.returncode != 0
        assert "took: [entity stats] test message" in refused.stderr


def test_without_a_connection_the_trial_fails(tmp_path: Path) -> None:
    done = alert_test(tmp_path, None)
    assert done.returncode != 0
    assert "there is no Airflow connection entity_stats_alerts" in done.stdout + done.stderr
