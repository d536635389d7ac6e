"""A client of Airflow's REST API, as far as the demo needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

#: States in which a task or a run stays.
FINAL = {"success", "failed", "skipped", "upstream_failed", "removed"}

#: The ends of the names of the loggers whose lines are worth showing: sessions on the database, and summaries.
TELLING = (".KillboardHook", ".SummaryOperator")

#: Seconds that Airflow gets to answer; many, for a machine that is busy with other things.
TIMEOUT = 120


class AirflowError(RuntimeError):
    """Airflow cannot do what it was asked for; the message says why."""


@dataclass(frozen=True)
class Task:
    """A task of a run, or one of the tasks that it is mapped to."""

    task_id: str
    map_index: int
    #: What the UI shows in place of the map index, or "".
    label: str
    state: str
    attempt: int
    start: datetime | None
    end: datetime | None

    @property
    def name(self) -> str:
        """The task's id, with what it is mapped to."""
        return f"{self.task_id}[{self.label or self.map_index}]" if self.map_index >= 0 else self.task_id

    @property
    def seconds(self) -> float:
        """How long it has run; 0 while it runs."""
        return (self.end - self.start).total_seconds() if self.start and self.end else 0.0


class AirflowApi:
    """The API of an Airflow where everyone is an administrator (`simple_auth_manager_all_admins`).

    All calls raise `AirflowError` when Airflow answers with an error, or does not answer.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._token = ""

    def get(self, path: str, **query: Any) -> Any:
        """GET; `query` are the URL's parameters."""
        return self._call("GET", path, query=query or None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST a JSON object."""
        return self._call("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """PATCH with a JSON object."""
        return self._call("PATCH", path, body)

    def dags(self) -> list[str]:
        """The ids of the DAGs that the DAG processor has read without errors.

        Raises:
            AirflowError: it could not import a file; the message is Python's.
        """
        errors = self.get("/api/v2/importErrors")["import_errors"]
        if errors:
            told = [f"{error['filename']}:\n{error['stack_trace']}" for error in errors]
            raise AirflowError("\n".join(["Airflow cannot import the DAGs.", *told]))
        return [dag["dag_id"] for dag in self.get("/api/v2/dags", limit=100)["dags"]]

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Unpause a DAG and start a run of it; returns the run's id.

        The run of a scheduled DAG takes the slot that the scheduler would run as soon as the DAG is unpaused, so that
        it is the only one.
        """
        dag = self.get(f"/api/v2/dags/{dag_id}")
        body = {"logical_date": dag["next_dagrun_logical_date"], "conf": conf}
        run_id = str(self.post(f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])
        self.patch(f"/api/v2/dags/{dag_id}", {"is_paused": False})
        return run_id

    def tasks(self, dag_id: str, run_id: str) -> list[Task]:
        """The tasks of a run, in order of their start."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances"
        tasks: list[Task] = []
        while True:
            found = self.get(path, limit=100, offset=len(tasks), order_by="start_date")
            tasks += [_task(ti) for ti in found["task_instances"]]
            if len(tasks) >= found["total_entries"] or not found["task_instances"]:
                return tasks

    def log(self, dag_id: str, run_id: str, task: Task, lines: int = 30) -> list[str]:
        """The last lines of a task's log."""
        text = "\n".join(_log_line(entry) for entry in self._log(dag_id, run_id, task))
        return [line for line in text.splitlines() if "::group::" not in line and "::endgroup::" not in line][-lines:]

    def told(self, dag_id: str, run_id: str, task: Task) -> list[str]:
        """What the database has told a task while it worked, and the summary of the run."""
        lines = [
            line
            for entry in self._log(dag_id, run_id, task)
            if isinstance(entry, Mapping) and str(entry.get("logger")).endswith(TELLING)
            for line in str(entry["event"]).splitlines()
        ]
        return [line for line in lines if not line.startswith(("Backend ", "Rows affected: "))]

    def follow(
        self, dag_id: str, run_id: str, *, changed: Callable[[Task], None], timeout: float, pause: float = 1
    ) -> str:
        """Wait for the end of a run.

        Args:
            dag_id: the DAG.
            run_id: its run.
            changed: is told of each task that runs, ends or will be tried again. What it raises ends the waiting.
            timeout: seconds to wait at most.
            pause: seconds between looks.

        Returns:
            The run's state: success or failed.

        Raises:
            AirflowError: it takes longer.
        """
        deadline = time.monotonic() + timeout
        known: dict[tuple[str, int], tuple[str, int]] = {}
        while True:
            # The run first: when it has ended, the tasks seen after it have ended too.
            state = str(self.get(f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}")["state"])
            tasks = self.tasks(dag_id, run_id)
            for task in tasks:
                key, now = (task.task_id, task.map_index), (task.state, task.attempt)
                if known.get(key) != now:
                    known[key] = now
                    if task.state in FINAL | {"running", "up_for_retry"}:
                        changed(task)
            if state in FINAL:
                return state
            if time.monotonic() > deadline:
                raise AirflowError(f"{dag_id} has not ended after {timeout:,.0f} s: {run_id} is {state}")
            time.sleep(pause)

    def _log(self, dag_id: str, run_id: str, task: Task) -> list[Any]:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task.task_id}/logs/{task.attempt}"
        return list(self.get(path, map_index=task.map_index, full_content="true")["content"])

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Any = None) -> Any:
        if not self._token:
            self._token = self._answer("GET", "/auth/token", None, None)["access_token"]
        return self._answer(method, path, body, query)

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None, query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            response = httpx.request(
                method,
                self._url + path,
                json=body,
                params=query,
                headers=headers,
                timeout=TIMEOUT,
                trust_env=False,  # a proxy is not for us
            )
        except httpx.HTTPError as error:
            raise AirflowError(f"{method} {path}: {error!r}") from error
        if not response.is_success:
            raise AirflowError(f"{method} {path}: {response.status_code} {response.text[:2000]}")
        return response.json()


def _task(ti: Mapping[str, Any]) -> Task:
    return Task(
        task_id=ti["task_id"],
        map_index=ti["map_index"],
        label=ti.get("rendered_map_index") or "",
        state=ti["state"] or "",
        attempt=ti["try_number"],
        start=_time(ti["start_date"]),
        end=_time(ti["end_date"]),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _log_line(entry: Any) -> str:
    """A line of a task's log: structured, or plain where the task printed it."""
    if not isinstance(entry, Mapping):
        return str(entry)
    level = str(entry.get("level") or "").upper()
    lines = [f"{level:8}{entry.get('event', '')}" if level else str(entry.get("event", ""))]
    for error in entry.get("error_detail") or ():
        lines += [f"  {f['filename']}:{f['lineno']} in {f['name']}" for f in error.get("frames") or ()]
        lines += [f"  {error['exc_type']}: {error['exc_value']}"]
    return "\n".join(lines)
