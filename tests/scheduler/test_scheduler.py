"""A real scheduler runs the DAGs from a Git bundle: what chat and mailbox receive, which SQL a run keeps, who is asked.

`make test-scheduler` runs it; `make test` leaves it out: one Airflow serves all tests, but it takes them minutes.
"""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from entity_stats.sql import read_check
from local.airflow_api import AirflowApi, AirflowError
from local.airflow_server import AirflowServer
from local.server import EmbeddedServer, free_port
from tests.fixtures.database import ROOT, Database, Databases
from tests.fixtures.receivers import TIMEOUT, Inbox, mailbox, webhook
from tests.fixtures.worlds import until

DAGS = [file.stem for file in sorted((ROOT / "dags").glob("*.py"))]
CLEANUP, FOLD = "entity_stats_daily_cleanup", "entity_stats_fold_pending"
CLAIM = "last_times_are_right"
HOLDS = "values_are_finite"
LATE = f"{CLEANUP} has not finished within 1 s"
BACKFILL, APPROVE = "entity_stats_backfill", "approve_rebuild"
QUESTION = f"{BACKFILL}: may this run rebuild?"

#: What the first commit changes, so that nothing waits long: file, text, what takes its place.
CHANGES = (
    ("dags/entity_stats/defaults.py", '"retries": 3', '"retries": 0'),
    ("dags/entity_stats_fold_pending.py", '"retries": 2', '"retries": 0'),
    ("dags/entity_stats_daily_cleanup.py", "DEADLINE = timedelta(hours=2)", "DEADLINE = timedelta(seconds=1)"),
)

#: Ageing of the 14 days waits before its second step ends, for whoever holds the advisory lock.
BRAKE = """
    create function public.brake() returns trigger language plpgsql as
    'begin perform pg_advisory_xact_lock(1); return new; end';
    create trigger brake before update on entity_stats.state for each row
    when (old."cutoff14d" not in (new."cutoff14d", '{cutoff}')) execute function public.brake();
"""
BEGUN = 'select "startedAt" from entity_stats.status()'

#: What may be told or not of the task that a test ends: Airflow gives it ten seconds, too few where others are busy.
ENDED = f"{CLEANUP}: age.age_14d has failed"

AGEING = f"datname = current_database() and application_name like '{CLEANUP}/age.age_14d/%%'"


class Repository:
    """A Git repository with the DAGs and their SQL, as a site would have it; with one claim that holds, so that runs are short."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("dags", "sql"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for change in CHANGES:
            self.change(*change)
        self.checks = folder / "sql" / "11_checks"
        for file in self.checks.glob("*.sql"):
            if file.stem != HOLDS:
                file.unlink()
                self.change("sql/deploy.sql", self._line(file.stem), "")
        self._git("init", "-q", "-b", "main")

    def claim(self, claim: str) -> None:
        """Add a claim of this clone: its file, and its line where it is deployed."""
        shutil.copy(ROOT / "sql" / "11_checks" / f"{claim}.sql", self.checks)
        self.change("sql/deploy.sql", self._line(HOLDS), self._line(claim) + self._line(HOLDS))

    @staticmethod
    def _line(claim: str) -> str:
        return f"\\ir 11_checks/{claim}.sql\n"

    def change(self, name: str, before: str, after: str) -> None:
        """Write another text into a file."""
        text = (self.folder / name).read_text()
        assert before in text, name
        (self.folder / name).write_text(text.replace(before, after))

    def commit(self) -> str:
        """Commit everything; returns the commit's name."""
        self._git("add", ".")
        self._git("-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-q", "-m", "test")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout


class BundleServer(AirflowServer):
    """An Airflow whose DAGs come from a Git repository, and its plugins from this clone."""

    def __init__(self, home: Path, repository: Path, connections: dict[str, str]) -> None:
        super().__init__(home, connections=connections)
        self._repository = repository

    def _configure(self) -> None:
        super()._configure()
        path = self.home / "airflow.cfg"
        config = configparser.RawConfigParser()
        config.read(path)
        bundle = {
            "name": "entity_stats",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": {
                "repo_url": str(self._repository),
                "tracking_ref": "main",
                "subdir": "dags",
                "refresh_interval": 1,
            },
        }
        config["dag_processor"]["dag_bundle_config_list"] = json.dumps([bundle])
        config["dag_processor"]["dag_bundle_storage_path"] = str(self.home / "bundles")
        config["core"]["min_serialized_dag_update_interval"] = "0"  # not 30 s: commits follow each other faster here
        config["scheduler"].update({"trigger_timeout_check_interval": "1", "scheduler_heartbeat_sec": "1"})
        config["workers"] = {"execution_api_timeout": "60"}  # on a busy machine the API takes its time
        with path.open("w") as file:
            config.write(file)


@dataclass
class Site:
    """A killboard's database, an Airflow and what receives its alerts."""

    server: EmbeddedServer
    database: Database
    repository: Repository
    airflow: AirflowServer
    chat: Inbox
    mail: Inbox

    @property
    def api(self) -> AirflowApi:
        """Airflow's."""
        return self.airflow.api

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Ask until it is so, or until a process of Airflow has ended."""
        deadline = time.monotonic() + TIMEOUT
        while not ready():
            self.airflow.check()
            assert time.monotonic() < deadline, f"{what}: not within {TIMEOUT} s"
            time.sleep(0.5)

    def knows(self, commit: str, dag_id: str) -> bool:
        """Whether the DAG processor has read a DAG of a commit, or says so."""
        try:
            return bool(self.api.get(f"/api/v2/dags/{dag_id}")["bundle_version"] == commit)
        except AirflowError:
            return False

    def commit(self, dag_id: str) -> str:
        """Commit everything, and wait until a DAG is that of the new commit; returns the commit's name."""
        commit = self.repository.commit()
        self.wait(lambda: self.knows(commit, dag_id), "the new commit is known")
        # What was being read when the commit arrived counts as the commit's, too: only what is read after it is.
        first = self.parsed(dag_id)
        self.wait(lambda: self.parsed(dag_id) != first, "the new commit has been read")
        return commit

    def parsed(self, dag_id: str) -> str:
        """When the DAG processor has last read a DAG."""
        return str(self.api.get(f"/api/v2/dags/{dag_id}")["last_parsed_time"])

    def change(self, name: str, before: str, after: str) -> None:
        """Commit another text of a file, and wait until the backfill is that of the new commit."""
        self.repository.change(name, before, after)
        self.commit(BACKFILL)

    def run(self, dag_id: str) -> tuple[str, dict[str, str]]:
        """Run a DAG to its end; its state and that of its tasks."""
        return self.follow(dag_id, self.trigger(dag_id))

    def trigger(self, dag_id: str, **params: Any) -> str:
        """Start a run; a DAG that is paused takes the slot that the scheduler would run at once when it is unpaused."""
        if self.api.get(f"/api/v2/dags/{dag_id}")["is_paused"]:
            return self.api.trigger(dag_id, params)
        run = self.api.post(f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": params})
        return str(run["dag_run_id"])

    def rebuild(self) -> str:
        """Start a rebuild that waits for approval."""
        run_id = self.trigger(BACKFILL, rebuild=True, history=False)
        self.wait(
            lambda: (APPROVE, "awaiting_input") in [(t.task_id, t.state) for t in self.api.tasks(BACKFILL, run_id)],
            "the run waits for approval",
        )
        # Nobody answers as fast as a program, which Airflow mistakes for a task that has died while it paused: the
        # scheduler has to hear of the pause first.
        for _ in range(2):
            beat = self.heartbeat()
            self.wait(lambda beat=beat: self.heartbeat() != beat, "a heartbeat of the scheduler")  # type: ignore[misc]
        return run_id

    def heartbeat(self) -> str:
        """When the scheduler was last known to be alive."""
        return str(self.api.get("/api/v2/monitor/health")["scheduler"]["latest_scheduler_heartbeat"])

    def answer(self, run_id: str, option: str) -> tuple[str, dict[str, str]]:
        """Answer a rebuild's question and wait for the end of the run; its state and that of its tasks."""
        run = f"/api/v2/dags/{BACKFILL}/dagRuns/{quote(run_id, safe='')}"
        self.api.patch(
            f"{run}/taskInstances/{APPROVE}/-1/hitlDetails", {"chosen_options": [option], "params_input": {}}
        )
        return self.follow(BACKFILL, run_id)

    def follow(self, dag_id: str, run_id: str) -> tuple[str, dict[str, str]]:
        """Wait for the end of a run; its state and that of its tasks."""
        state = self.api.follow(dag_id, run_id, changed=lambda task: None, timeout=TIMEOUT, pause=1)
        return state, {task.task_id: task.state for task in self.api.tasks(dag_id, run_id)}

    def told(self, *titles: str) -> list[str]:
        """Wait until chat and mailbox have had these messages, in any order, and see that they had no others.

        Returns:
            The texts of the first title, by chat and by mail.
        """
        texts = []
        for inbox in (self.chat, self.mail):
            self.wait(lambda inbox=inbox: set(titles) <= set(inbox.titles), f"messages {titles}")  # type: ignore[misc]
            heard = [(title, text) for title, (_, text) in zip(inbox.titles, inbox.messages, strict=True)]
            assert sorted(title for title, _ in heard if ENDED not in title) == sorted(titles)
            texts += [text for title, text in heard if title == titles[0]]
            inbox.messages.clear()
        return texts


@pytest.fixture(scope="module")
def killboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Everything, running: a cache that is 60 days old, and the repository."""
    repository = Repository(tmp_path_factory.mktemp("repository"))
    commit = repository.commit()
    home = tmp_path_factory.mktemp("airflow")
    with (
        EmbeddedServer(durable=False, port=free_port()) as server,  # the same port after a stop
        webhook() as chat,
        mailbox() as mail,
        closing(Databases(server)) as databases,
        databases.site() as database,
    ):
        services = [{"path": inbox.url, "tag": "alerts"} for inbox in (chat, mail)]
        connections = {
            "entity_stats_db": database.uri,
            "entity_stats_alerts": json.dumps({"conn_type": "apprise", "extra": {"config": services}}),
        }
        airflow = BundleServer(home, repository.folder, connections)
        site = Site(server, database, repository, airflow, chat, mail)
        airflow.migrate()
        airflow.start()
        try:
            database.execute("select sample.generate_killmails(3000, now() - interval '120 days', now())")
            database.execute("call entity_stats.backfill(now() - interval '60 days')")
            cutoff = database.value("select cutoff from entity_stats.time_window where period = '14d'")
            database.execute(BRAKE.format(cutoff=cutoff))
            site.wait(
                lambda: airflow.healthy() and all(site.knows(commit, dag_id) for dag_id in DAGS), "Airflow is ready"
            )
            yield site
        finally:
            airflow.stop()
            server.start()  # for those who drop databases


def test_airflow_knows_these_dags_and_the_plugin(killboard: Site) -> None:
    assert killboard.api.dags() == DAGS  # raises import errors
    assert killboard.api.get("/api/v2/plugins/importErrors")["import_errors"] == []
    assert "entity_stats" in [plugin["name"] for plugin in killboard.api.get("/api/v2/plugins")["plugins"]]


def test_a_run_that_is_ended_goes_on_with_its_own_sql(killboard: Site) -> None:
    site, database = killboard, killboard.database
    cutoff = "select cutoff from entity_stats.time_window where period = '14d'"
    begun = database.value(cutoff)
    with database.connect() as holder:
        holder.execute("select pg_advisory_lock(1)")
        run_id = site.trigger(CLEANUP)
        site.wait(
            lambda: database.value(
                f"select count(*) = 1 from pg_stat_activity where {AGEING} and wait_event = 'advisory'"
            ),
            "ageing is at its second step",
        )
        run = f"/api/v2/dags/{CLEANUP}/dagRuns/{quote(run_id, safe='')}"
        site.api.patch(f"{run}/taskInstances/age.age_14d", {"new_state": "failed"})
        until(database, f"select count(*) = 0 from pg_stat_activity where {AGEING}")  # its query has been cancelled
        assert site.follow(CLEANUP, run_id)[0] == "failed"
    assert database.value(cutoff) > begun
    half = database.value(cutoff)

    # Meanwhile there is a new commit, with a claim that finds what those of the run's own commit do not look for.
    site.repository.claim(CLAIM)
    commit = site.commit(CLEANUP)
    corrupt(database)
    site.api.post(
        f"/api/v2/dags/{CLEANUP}/clearTaskInstances",
        {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": ["age.age_14d"],
            "include_downstream": True,
            "only_failed": False,
        },
    )
    state, tasks = site.follow(CLEANUP, run_id)
    assert state == tasks[f"verify.{HOLDS}"] == "success"
    assert f"verify.{CLAIM}" not in tasks
    assert site.api.get(run)["bundle_version"] != commit
    assert database.value(cutoff) > half
    assert {row[2] for row in database.oracle()} == {"lastKillTime"}
    site.told(LATE)


def test_a_claim_that_does_not_hold_is_told_once(killboard: Site) -> None:
    site, database = killboard, killboard.database
    entity = corrupt(database)
    state, tasks = site.run(CLEANUP)
    assert state == tasks[f"verify.{CLAIM}"] == "failed"
    assert tasks["recheck"] == "success"
    assert database.oracle() == []

    title = f"{CLAIM} does not hold: 1 row"
    meaning, _, advice = read_check(site.repository.checks / f"{CLAIM}.sql").text.partition("What to do: ")
    for text in site.told(title, f"Solved: {title}", LATE):
        words = " ".join(re.sub("<[^>]*>", " ", text).split())
        for part in (
            " ".join(meaning.split()),
            f"What to do: {' '.join(advice.split())}",
            "1 row, for example:",
            f"entityType: character entityId: {entity} period: 90d ",  # too wide a row for a table
            f"Run: {CLEANUP}, manual__",
            f"Task: verify.{CLAIM}",
            f"Log: {site.airflow.url}/dags/{CLEANUP}/runs/manual__",
        ):
            assert part in words, text


def test_a_database_that_is_down_is_told_once(killboard: Site) -> None:
    site = killboard
    site.database.close()
    site.server.stop()
    assert site.run(FOLD)[0] == "failed"
    assert site.run(FOLD)[0] == "failed"
    for text in site.told("PostgreSQL does not answer"):
        assert "Connection refused" in text
        assert "What to do: check that it is running" in text
    site.server.start()
    assert site.run(FOLD)[0] == "success"
    site.told("Solved: PostgreSQL does not answer")


@pytest.fixture(scope="module")
def asking(killboard: Site) -> Site:
    """The same, where a rebuild waits for approval."""
    killboard.api.post("/api/v2/variables", {"key": "entity_stats_approval", "value": "rebuild"})
    return killboard


def test_a_rebuild_waits_until_it_is_approved(asking: Site) -> None:
    site, database = asking, asking.database
    begun = database.value(BEGUN)
    run_id = site.rebuild()
    for text in site.told(QUESTION):
        assert (
            f"Answer: {site.airflow.url}/dags/{BACKFILL}/runs/{quote(run_id)}/tasks/{APPROVE}/required_actions" in text
        )
    assert database.value(BEGUN) == begun
    state, tasks = site.answer(run_id, "Approve")
    assert state == tasks[APPROVE] == tasks["finish"] == "success"
    assert database.value(BEGUN) > begun
    assert database.oracle() == []
    site.told()


def test_a_rebuild_that_nobody_answers_fails(asking: Site) -> None:
    site = asking
    begun = site.database.value(BEGUN)
    site.change("dags/entity_stats/approval.py", "TIMEOUT = timedelta(hours=12)", "TIMEOUT = timedelta(seconds=10)")
    run_id = site.trigger(BACKFILL, rebuild=True)
    state, tasks = site.follow(BACKFILL, run_id)
    assert state == tasks[APPROVE] == "failed"
    assert tasks["begin"] == "upstream_failed"
    for text in site.told(f"{BACKFILL}: {APPROVE} has failed", QUESTION):
        assert "Nobody has answered in time: nothing was done." in text
    assert site.database.value(BEGUN) == begun


def test_a_deadline_speaks_of_approval_and_a_rejected_rebuild_is_skipped(asking: Site) -> None:
    site = asking
    begun = site.database.value(BEGUN)
    site.repository.change(
        "dags/entity_stats/approval.py", "TIMEOUT = timedelta(seconds=10)", "TIMEOUT = timedelta(hours=12)"
    )
    site.change("dags/entity_stats_backfill.py", "DEADLINE = timedelta(hours=24)", "DEADLINE = timedelta(seconds=1)")
    run_id = site.rebuild()
    for text in site.told(f"{BACKFILL} has not finished within 1 s", QUESTION):
        assert "If it awaits input, it waits for approval" in text
    state, tasks = site.answer(run_id, "Reject")
    assert {state, *(tasks.pop(task) for task in ("deploy", "guard", APPROVE))} == {"success"}
    assert set(tasks.values()) == {"skipped"}
    assert site.database.value(BEGUN) == begun
    # What an earlier run has failed at is well again.
    site.told(f"Solved: {BACKFILL}: {APPROVE} has failed")


def corrupt(database: Database) -> int:
    """Make one entity's time of the last kill wrong, unless it is; returns its id."""
    if not database.oracle():
        database.execute(
            'update public.entity_stats_cache set "lastKillTime" = "lastKillTime" - interval \'1 microsecond\' '
            'where "entityType" = \'character\' and "entityId" = ('
            '    select min(c."entityId") from public.entity_stats_cache as c '
            '    where c."entityType" = \'character\' and c."kills14d" > 0)'
        )
    return int(database.oracle()[0][0])
