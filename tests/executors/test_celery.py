"""The DAGs on CeleryExecutor: two workers that share nothing but Redis, the metadata in PostgreSQL, and the API server.

`make test-celery` runs it; `make test` leaves it out.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

from local.airflow_api import AirflowError
from local.airflow_server import AirflowServer
from local.server import free_port
from tests.fixtures.database import Database, Databases

#: Seconds; long, because only a failure takes so long.
TIMEOUT = 600

WORKERS = ("first", "second")


class CeleryAirflow(AirflowServer):
    """Airflow whose tasks are run by Celery workers.

    Args:
        home: AIRFLOW_HOME.
        settings: options as environment variables.
        connections: Airflow connections, id to URI.
    """

    def __init__(self, home: Path, settings: dict[str, str], connections: dict[str, str]) -> None:
        super().__init__(home, connections=connections)
        self._settings = settings

    def _environment(self) -> dict[str, str]:
        return super()._environment() | self._settings

    @contextmanager
    def worker(self, name: str, folder: Path) -> Iterator[Path]:
        """A worker with a folder of its own for its logs; yields its output."""
        folder.mkdir()
        output = folder / "worker.log"
        environment = self._environment() | {
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
            "C_FORCE_ROOT": "1",
        }
        arguments = ["celery", "worker", "--celery-hostname", f"{name}@%h", "--concurrency", "1", "--skip-serve-logs"]
        with output.open("wb") as log, _process(self._command(*arguments), folder, environment, log):
            yield output


@contextmanager
def _process(command: list[str], folder: Path, environment: dict[str, str], log: IO[bytes]) -> Iterator[None]:
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """A Redis of our own: its URL."""
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("no Redis: apt-get install redis-server")
    if not importlib.util.find_spec("airflow.providers.celery"):
        pytest.skip("no Celery: pip install --requirement tests/executors/requirements.txt")
    port = free_port()
    folder = tmp_path / "redis"
    folder.mkdir()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with (folder / "log").open("wb") as log, _process(command, folder, dict(os.environ), log):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def killboard(databases: Databases) -> Iterator[Database]:
    """Killmails and nothing of ours."""
    with databases.bare() as database:
        database.execute("select sample.generate_killmails(5000, now() - interval '120 days', now())")
        yield database


def test_backfill_and_cleanup_on_two_workers(
    redis: str, databases: Databases, killboard: Database, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        metadata = stack.enter_context(databases.bare())
        settings = {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata.uri.replace("postgresql://", "postgresql+psycopg2://"),
            "AIRFLOW__CELERY__BROKER_URL": redis,
            "AIRFLOW__CELERY__RESULT_BACKEND": metadata.uri.replace("postgresql://", "db+postgresql+psycopg2://"),
        }
        airflow = CeleryAirflow(tmp_path / "airflow", settings, {"entity_stats_db": killboard.uri})
        airflow.migrate()
        stack.callback(airflow.stop)
        airflow.start()
        logs = {name: stack.enter_context(airflow.worker(name, tmp_path / name)) for name in WORKERS}

        deadline = time.monotonic() + TIMEOUT
        while not (airflow.healthy() and found(airflow)):
            airflow.check()
            assert time.monotonic() < deadline, "Airflow is not healthy"
            time.sleep(0.5)

        for dag_id in ("entity_stats_backfill", "entity_stats_daily_cleanup"):
            run_id = airflow.api.trigger(dag_id, {})
            state = airflow.api.follow(dag_id, run_id, changed=lambda task: airflow.check(), timeout=TIMEOUT)
            failed = [task.name for task in airflow.api.tasks(dag_id, run_id) if task.state == "failed"]
            assert state == "success", failed

        assert killboard.value("select status from entity_stats.status()") == "ready"
        assert killboard.fetch("select * from entity_stats.differences()") == []
        assert killboard.oracle() == []
        for name, log in logs.items():
            assert "succeeded in" in log.read_text(errors="replace"), f"the {name} worker has run nothing"


def found(airflow: AirflowServer) -> bool:
    """Whether the DAG processor has read the DAGs."""
    try:
        return {"entity_stats_backfill", "entity_stats_daily_cleanup"} <= set(airflow.api.dags())
    except AirflowError:
        return False
