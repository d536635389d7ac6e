"""Approval by a person, before a rebuild and before a repair beyond its limit; answered through Airflow's API."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from fastapi.testclient import TestClient

from entity_stats.approval import ApproveRebuild
from tests.dags.conftest import Airflow
from tests.dags.test_daily_cleanup import CORRUPTION
from tests.fixtures.receivers import TIMEOUT, Inbox

BACKFILL, CLEANUP = "entity_stats_backfill", "entity_stats_daily_cleanup"


@pytest.fixture(scope="module")
def api(airflow_home: object) -> Iterator[TestClient]:
    """Airflow's API, in this process, where everyone is an administrator."""
    from airflow.api_fastapi.app import create_app

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
        # Airflow's database is SQLite here, which may be locked: an answer like any other.
        client = TestClient(create_app(apps="core"), raise_server_exceptions=False)
        client.headers["Authorization"] = f"Bearer {client.get('/auth/token').json()['access_token']}"
        yield client


@contextmanager
def answering(api: TestClient, answer: str) -> Iterator[list[dict[str, Any]]]:
    """A person who answers the next question.

    Yields:
        The question, once it has been asked.
    """
    questions: list[dict[str, Any]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            found = api.get("/api/v2/dags/~/dagRuns/~/hitlDetails", params={"response_received": False})
            for question in found.json()["hitl_details"] if found.is_success else ():
                ti = question["task_instance"]
                path = f"/api/v2/dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}/taskInstances/{ti['task_id']}/-1/hitlDetails"
                if (
                    ti["state"] == "awaiting_input"
                    and api.patch(path, json={"chosen_options": [answer], "params_input": {}}).is_success
                ):
                    questions.append(question)
                    return

    person = threading.Thread(target=look)
    person.start()
    try:
        yield questions
    finally:
        over.set()
        person.join(TIMEOUT)


def approvals(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Set the variable that asks for approval."""
    monkeypatch.setenv("AIRFLOW_VAR_ENTITY_STATS_APPROVAL", value)


@pytest.mark.usefixtures("few_claims")
def test_a_rebuild_waits_for_approval(
    ready: Airflow, api: TestClient, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    approvals(monkeypatch, "rebuild")
    begun = 'select "startedAt" from entity_stats.status()'
    before = ready.database.value(begun)
    with answering(api, "Reject"):
        rejected = ready.run(BACKFILL, {"rebuild": True})
    assert rejected.state == "success"
    assert [rejected.tasks.pop(task) for task in ("deploy", "guard", "approve_rebuild")] == ["success"] * 3
    assert set(rejected.tasks.values()) == {"skipped"}
    assert ready.database.value(begun) == before
    [[title, text]] = inbox.messages
    assert title == f"[entity stats] {BACKFILL}: may this run rebuild?"
    assert "Reject: the cache stays as it is." in text
    assert f"/dags/{BACKFILL}/runs/" in text
    assert text.endswith("/tasks/approve_rebuild/required_actions")

    inbox.status = 500  # the question is in the UI all the same
    with answering(api, "Approve"):
        approved = ready.run(BACKFILL, {"rebuild": True, "history": False})
    assert approved.state == approved.tasks["finish"] == "success"
    assert ready.database.value(begun) > before


@pytest.mark.usefixtures("few_claims")
def test_a_repair_beyond_the_limit_waits_for_approval(
    ready: Airflow, api: TestClient, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    approvals(monkeypatch, "rebuild, repair")
    monkeypatch.setenv("AIRFLOW_VAR_ENTITY_STATS_REPAIR_MOST", "2")
    ready.database.execute(CORRUPTION, [3])
    with answering(api, "Reject"):
        rejected = ready.run(CLEANUP)
    assert rejected.state == "failed"
    assert rejected.tasks["repair"] == rejected.tasks["recheck"] == "skipped"
    assert len(ready.database.oracle()) == 3

    found = ready.database.value("select max(run) from entity_stats.run where operation = 'cleanup'")
    with answering(api, "Approve") as questions:
        approved = ready.run("entity_stats_recalculate", {"of_run": found})
    [question] = questions
    assert f"The checks of run {found} have found 3 entities and 0 months of the history wrong" in question["body"]
    assert approved.state == approved.tasks["recheck"] == "success"
    assert ready.database.oracle() == []


@pytest.mark.usefixtures("few_claims")
def test_within_the_limit_nobody_is_asked(ready: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    approvals(monkeypatch, "repair")
    ready.database.execute(CORRUPTION, [3])
    run = ready.run(CLEANUP)
    assert run.tasks["approve_repair"] == run.tasks["recheck"] == "success"
    assert "There is nothing to approve" in run.log
    assert ready.database.oracle() == []


def test_a_variable_with_a_typo_stops_the_run(ready: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    approvals(monkeypatch, "rebuilds")
    run = ready.run(BACKFILL, {"rebuild": True})
    assert run.state == run.tasks["approve_rebuild"] == "failed"
    assert "entity_stats_approval names rebuilds: it takes rebuild and repair." in run.log


def test_without_an_answer_the_task_fails() -> None:
    with pytest.raises(AirflowFailException, match="Nobody has answered in time"):
        ApproveRebuild(task_id="approve").execute_complete({}, {"error": "", "error_type": "timeout"})
