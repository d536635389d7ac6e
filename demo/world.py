"""A killboard's database full of killmails, and an Airflow that has this clone's DAGs.

    python -m demo.world up      starts it and leaves it running; the UI is on http://localhost:8080
    python -m demo.world down    stops and deletes it

`demo.run` starts the same world for as long as the demo takes. The database is always the embedded server's:
`AIRFLOW_CONN_ENTITY_STATS_DB` and `DATABASE_URL` are for real sites, and are not looked at here.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import psycopg

from demo.airflow_api import AirflowError, Task
from demo.airflow_server import CLONE, AirflowServer
from demo.load_csv import LoadError
from demo.load_csv import load as load_csv
from demo.server import EmbeddedServer, ServerError

DATABASE = "killboard"

#: A role that may write killmails and nothing else, as a site's ingest has it.
INGEST = "killboard_ingest"

SAMPLE = CLONE / "sql" / "sample"

#: Generated killmails are of so many days, a share of them before each of the windows.
DAYS = 400

ROWS = 200_000
PORT = 8080

BACKFILL = "entity_stats_backfill"

#: Seconds that Airflow gets to be healthy and to read the DAGs.
START_TIMEOUT = 180

ERRORS = (ServerError, AirflowError, LoadError, OSError, psycopg.Error)


class WorldError(RuntimeError):
    """The world cannot be made, or what it was to do has failed; the message says why and what to do."""


class Narrator:
    """Prints lines with the seconds since it was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, text: str) -> None:
        """Print each line of the text."""
        elapsed = time.monotonic() - self._begun
        for line in text.splitlines():
            print(f"[{elapsed:6.1f} s] {line}", flush=True)


Say = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """Where the killmails come from.

    Attributes:
        as_of: the moment that is taken for now.
        rows: how many killmails are generated, unless there is a file.
        csv: a file of killmails.
    """

    as_of: datetime
    rows: int = ROWS
    csv: Path | None = None

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add --rows, --csv and --as-of, whose defaults are the environment's ROWS, CSV and AS_OF."""
        # argparse converts a default that is a string as it converts an argument.
        parser.add_argument(
            "--rows",
            type=_positive,
            metavar="N",
            default=os.environ.get("ROWS") or str(ROWS),
            help=f"killmails to generate; default: the environment's ROWS, else {ROWS:,}",
        )
        parser.add_argument(
            "--csv",
            type=Path,
            metavar="FILE",
            default=os.environ.get("CSV") or None,
            help="load this CSV file, plain or gzipped, instead (see demo.load_csv); default: the environment's CSV",
        )
        parser.add_argument(
            "--as-of",
            type=_moment,
            metavar="TIME",
            default=os.environ.get("AS_OF") or datetime.now(UTC).isoformat(timespec="seconds"),
            help="the moment that is taken for now, e.g. 2021-11-29T00:00:00Z, UTC unless it says otherwise; "
            "default: the environment's AS_OF, else now",
        )

    @classmethod
    def of(cls, options: argparse.Namespace) -> Self:
        """What the arguments say."""
        return cls(as_of=options.as_of, rows=options.rows, csv=options.csv)

    def load(self, server: EmbeddedServer, say: Say) -> None:
        """Make the database, its killmails table and the killmails.

        Raises:
            WorldError: something of `sql/sample/` does not run, or there is no killmail.
            LoadError: the file cannot be loaded.
        """
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute(f"create database {DATABASE}")
        killmails = SAMPLE / "killmails.sql"
        for file in [killmails, *sorted(set(SAMPLE.glob("*.sql")) - {killmails})]:
            result = server.psql(DATABASE, "--quiet", "--output", os.devnull, "-f", file)
            if result.returncode != 0:
                raise WorldError(f"{file.relative_to(CLONE)} failed:\n{result.stderr.strip()}")

        begun = time.monotonic()
        if self.csv:
            say(str(load_csv(self.csv, server.conninfo(DATABASE))))
        with psycopg.connect(server.conninfo(DATABASE), autocommit=True) as connection:
            if not self.csv:
                connection.execute(
                    "select sample.generate_killmails(%s, %s, %s)",
                    [self.rows, self.as_of - timedelta(days=DAYS), self.as_of],
                )
            # As autovacuum would, a little later.
            connection.execute("vacuum (analyze) public.killmails")
            connection.execute(_INGEST_ROLE)
            found = connection.execute(
                """select count(*), min("killmailTime")::date, max("killmailTime")::date from public.killmails"""
            ).fetchone()
        assert found
        count, first, last = found
        if not count:
            raise WorldError(f"{self.csv} has no killmails: nothing to do")
        say(f"{count:,} killmails of {first} to {last} in the database after {time.monotonic() - begun:.1f} s")


_INGEST_ROLE = f"""
do $$
begin
    if not exists (select from pg_roles where rolname = '{INGEST}') then
        create role {INGEST} login;
    end if;
end
$$;
grant select, insert, update, delete on public.killmails to {INGEST};
grant usage on schema sample to {INGEST};
grant execute on all functions in schema sample to {INGEST};
grant usage on all sequences in schema sample to {INGEST};
"""


class World:
    """The embedded PostgreSQL and an Airflow in one folder.

    Args:
        folder: where they keep everything.
        port: of Airflow's UI; default: the one that it has in this folder, else a free one.

    Raises:
        ServerError: PostgreSQL cannot live in the folder.
    """

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder
        self.server = EmbeddedServer(folder=folder / "postgresql", durable=False)
        self.airflow = AirflowServer(folder / "airflow", port=port)

    def start(self, source: Source, say: Say) -> None:
        """Start everything and load the killmails.

        Raises:
            WorldError, ServerError, AirflowError, LoadError: it does not work.
        """
        if not (CLONE / "dags").is_dir():
            raise WorldError("there is no dags/ in this clone: nothing for Airflow to run")
        self.server.start()
        say(f"PostgreSQL runs on port {self.server.port}; Airflow starts while the killmails are made")
        self.airflow = AirflowServer(
            self.airflow.home,
            port=self.airflow.port,
            connections={"entity_stats_db": self.server.uri(DATABASE)},
        )
        self.airflow.migrate()
        self.airflow.start()
        source.load(self.server, say)
        self._await(self.airflow.healthy, "Airflow is not healthy")
        self._await(lambda: BACKFILL in self.airflow.api.dags(), f"Airflow does not find {BACKFILL} in dags/")
        say(f"Airflow runs: {self.airflow.url}")

    def running(self) -> bool:
        """Whether everything runs, whoever started it."""
        return self.server.running() and self.airflow.running()

    def run(self, dag_id: str, conf: dict[str, Any], say: Say, *, timeout: float) -> list[Task]:
        """Run a DAG to its end, telling of its tasks as their states change.

        Returns:
            Its tasks.

        Raises:
            WorldError: it fails; the end of the log of each task that failed has been told.
            AirflowError: it takes longer than `timeout` seconds.
        """
        api = self.airflow.api
        run_id = api.trigger(dag_id, conf)

        def changed(task: Task) -> None:
            self.airflow.check()
            took = f" after {task.seconds:.1f} s" if task.end else ""
            say(f"  {task.name}: {task.state}{took}")

        state, tasks = api.follow(dag_id, run_id, changed=changed, timeout=timeout)
        if state != "success":
            for task in tasks:
                if task.state == "failed":
                    say(f"The end of the log of {task.name}:")
                    say("\n".join(f"    {line}" for line in api.log(dag_id, run_id, task)))
            raise WorldError(f"the run of {dag_id} has {state}")
        return tasks

    def remove(self) -> None:
        """Stop everything and delete the folder; Ctrl-C does not interrupt it."""
        with _uninterrupted():
            try:
                self.airflow.stop()
                self.server.remove()
            finally:
                shutil.rmtree(self.folder, ignore_errors=True)

    def _await(self, ready: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not ready():
            self.airflow.check()
            if time.monotonic() > deadline:
                raise WorldError(f"{otherwise} after {START_TIMEOUT} s; its logs are in {self.airflow.home}")
            time.sleep(0.3)


def temporary_folder() -> Path:
    """A fresh folder that PostgreSQL can live in; the caller deletes it.

    Raises:
        WorldError: no temporary folder suits it.
    """
    reasons = []
    for base in _bases():
        folder = Path(tempfile.mkdtemp(prefix="entity-stats-", dir=base))
        try:
            return _habitable(folder)
        except ServerError as error:
            reasons.append(str(error))
            shutil.rmtree(folder)
    raise WorldError("\n".join(["no temporary folder suits PostgreSQL:", *reasons]))


def _habitable(folder: Path) -> Path:
    """The folder, made so that the server's user can go through it (and nobody can list it)."""
    folder.chmod(0o711)
    EmbeddedServer(folder=folder / "postgresql")
    return folder


def _bases() -> list[Path]:
    bases = dict.fromkeys([Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")])
    return [base for base in bases if base.is_dir()]


def _own_folders() -> list[Path]:
    """Where the world of `make up` may be: it is this user's and this clone's."""
    mark = hashlib.sha256(str(CLONE).encode()).hexdigest()[:8]
    return [base / f"entity-stats-{os.getuid()}-{mark}" for base in _bases()]


def find_folder() -> Path | None:
    """The folder of this clone's world that `make up` has made, or None.

    Raises:
        WorldError: somebody else has put something there.
    """
    for folder in _own_folders():
        if folder.is_symlink() or folder.exists():
            if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
                raise WorldError(f"{folder} is not ours: delete it, or set TMPDIR to another folder")
            return folder
    return None


def make_folder() -> Path:
    """The folder for this clone's world, fresh.

    Raises:
        WorldError: no temporary folder suits PostgreSQL.
    """
    reasons = []
    for folder in _own_folders():
        folder.mkdir(mode=0o700)
        try:
            return _habitable(folder)
        except ServerError as error:
            reasons.append(str(error))
            shutil.rmtree(folder)
    raise WorldError("\n".join(["no temporary folder suits PostgreSQL:", *reasons]))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM for a while."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, signal.SIG_IGN) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def _positive(text: str) -> int:
    value = int(text.replace(",", "").replace("_", ""))
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise argparse.ArgumentTypeError(f"{text} is in the future")
    return moment
