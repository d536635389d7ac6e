"""An Airflow home for the session, and runs of this clone's DAGs in this process, against a database of their own."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.database import ROOT, Database
from tests.fixtures.receivers import Inbox, webhook

if TYPE_CHECKING:
    from airflow.sdk import DAG

# Airflow reads its configuration when it is imported, which the test modules of this folder do.
assert "airflow" not in sys.modules, "Airflow has been imported with another configuration"
HOME = Path(tempfile.mkdtemp(prefix="entity-stats-airflow-"))
os.environ.update(
    {
        "AIRFLOW_HOME": str(HOME),
        # Else who signs and who validates each keep a random one, for good.
        "AIRFLOW__API_AUTH__JWT_SECRET": "secret" * 12,
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(HOME / "plugins"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }
)

#: Killmails of a world.
ROWS = 600

#: A claim of each severity: corruption of the windows is found by the first.
FEW_CLAIMS = {"windows_are_exact", "killmails_are_believable", "characters_are_exact"}


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Attributes:
        state: success or failed.
        tasks: task id, with the map index where the task is mapped, to state.
        labels: the same to what the UI shows in place of the map index.
        log: what the tasks have logged.
    """

    state: str
    tasks: dict[str, str]
    labels: dict[str, str]
    log: str

    def group(self, group_id: str) -> dict[str, str]:
        """The tasks of a task group, by their names in it."""
        prefix = f"{group_id}."
        return {name.removeprefix(prefix): state for name, state in self.tasks.items() if name.startswith(prefix)}


class Airflow:
    """Runs the DAGs.

    Args:
        database: the killboard database.
        caplog: pytest's, to see what tasks log.
    """

    def __init__(
        self, database: Database, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.database = database
        self._caplog = caplog
        self._capsys = capsys

    def dag(self, dag_id: str) -> DAG:
        """A DAG, read from its file."""
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(ROOT / "dags" / f"{dag_id}.py")
        assert bag.import_errors == {}
        dag: DAG = bag.dags[dag_id]
        return dag

    def run(
        self,
        dag_id: str,
        conf: dict[str, Any] | None = None,
        logical_date: datetime | None = None,
        retries: int = 0,
    ) -> Run:
        """Run a DAG to its end, one task after another, in this process; a task is tried again `retries` times, at once."""
        dag = self.dag(dag_id)
        for task in dag.tasks:
            task.retries = retries
            task.retry_delay = timedelta()
        done = dag.test(run_conf=conf, logical_date=logical_date or datetime.now(UTC))
        out = self._capsys.readouterr()
        log = "\n".join([*self._caplog.messages, out.out, out.err])
        instances = {
            f"{ti.task_id}[{ti.map_index}]" if ti.map_index >= 0 else ti.task_id: ti for ti in done.get_task_instances()
        }
        return Run(
            str(done.state),
            {name: str(ti.state) for name, ti in instances.items()},
            {name: ti.rendered_map_index for name, ti in instances.items() if ti.map_index >= 0},
            log,
        )


@pytest.fixture(scope="session", autouse=True)
def airflow_home() -> Iterator[Path]:
    """The metadata database, and the folder that is removed at the end."""
    from airflow.utils.db import initdb

    initdb()
    yield HOME
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture
def filled(airflow: Airflow) -> Airflow:
    """The same with killmails."""
    airflow.database.execute("select sample.generate_killmails(%s, now() - interval '120 days', now())", [ROWS])
    return airflow


@pytest.fixture
def ready(filled: Airflow) -> Airflow:
    """The same with a cache that is ready."""
    filled.database.execute("call entity_stats.backfill()")
    filled.database.execute("delete from entity_stats.run")
    return filled


@pytest.fixture
def airflow(
    site: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> Airflow:
    """Airflow with a connection to a fresh database where everything is deployed, and nothing told yet."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    with create_session() as session:
        session.query(Variable).delete()
    monkeypatch.setenv("AIRFLOW_CONN_ENTITY_STATS_DB", site.uri)
    return Airflow(site, caplog, capsys)


@pytest.fixture
def few_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs check a claim of each severity: for tests of something else, because Airflow needs a quarter of a second per task."""
    from entity_stats import parts, sql

    severities = {check.claim: severity for severity in ("fail", "warn", "full") for check in sql.checks(severity)}
    assert {severities[claim] for claim in FEW_CLAIMS} == set(severities.values())
    monkeypatch.setattr(parts, "checks", lambda severity: [c for c in sql.checks(severity) if c.claim in FEW_CLAIMS])


@pytest.fixture
def inbox(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """A webhook that the connection of the alerts names."""
    from entity_stats.alerts import CONNECTION

    with webhook() as inbox:
        connection = {"conn_type": "apprise", "extra": {"config": {"path": inbox.url, "tag": "alerts"}}}
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", json.dumps(connection))
        yield inbox
