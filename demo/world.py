"""A killboard's database full of killmails, and an Airflow that has this clone's DAGs.

    python -m demo.world up      starts it and leaves it running; the UI is on http://localhost:8080
    python -m demo.world down    stops and deletes it

`demo.run` starts the same world for as long as the demo takes. The database is always the embedded server's:
`AIRFLOW_CONN_ENTITY_STATS_DB` and `DATABASE_URL` are for real sites, and are not looked at here.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

import psycopg

from local import CLONE, SAMPLE
from local.airflow_api import AirflowError, Task
from local.airflow_server import AirflowServer
from local.load_csv import LoadError, examine
from local.load_csv import load as load_csv
from local.processes import Processes
from local.server import EmbeddedServer, ServerError, compiles_queries, taken

DATABASE = "killboard"

#: A role that may write killmails and nothing else, as a site's ingest has it.
INGEST = "killboard_ingest"

#: Generated killmails are of so many days, a share of them before each of the windows.
DAYS = 400

ROWS = 200_000
MOST_ROWS = 100_000_000

#: No killmail of the game is older, with DAYS before it.
OLDEST = datetime(2005, 1, 1, tzinfo=UTC)

PORT = 8080

BACKFILL = "entity_stats_backfill"
CLEANUP = "entity_stats_daily_cleanup"
VERIFY = "entity_stats_verify"
DAGS = {file.stem for file in (CLONE / "dags").glob("entity_stats_*.py")}

#: Seconds that Airflow gets to be healthy and to read the DAGs.
START_TIMEOUT = 180

#: Seconds that a run of a DAG gets: 90 million killmails are somebody else's.
RUN_TIMEOUT = 3600

#: Lines of a task's log that are shown; of the summary, all.
TOLD = 4

#: Seconds between the transactions of each of the two live sessions of `up`, on average: about a killmail a second.
PACE = 5.0


class WorldError(RuntimeError):
    """The world cannot be made, or what it was to do has failed; the message says why and what to do."""


#: What can be in the way of a world.
ERRORS = (WorldError, ServerError, AirflowError, LoadError, OSError, psycopg.Error)


class Printer:
    """Prints lines with the seconds since it was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, text: str) -> None:
        """Print each line of the text."""
        elapsed = time.monotonic() - self._begun
        for line in text.splitlines():
            print(f"[{elapsed:6.1f} s] {line}", flush=True)


Say = Callable[[str], None]


class Arguments(argparse.ArgumentParser):
    """A parser of command lines that says in one line what is wrong; its types' messages name the argument."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit with status 2."""
        self.exit(2, f"{message.split(': ', 1)[-1] if message.startswith('argument ') else message}\n")


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
            type=_rows,
            metavar="N",
            default=os.environ.get("ROWS") or str(ROWS),
            help=f"killmails to generate; default: the environment's ROWS, else {ROWS:,}",
        )
        parser.add_argument(
            "--csv",
            type=Path,
            metavar="FILE",
            default=os.environ.get("CSV") or None,
            help="load this CSV file, plain or gzipped, instead (see local.load_csv); default: the environment's CSV",
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

    def check(self) -> None:
        """Look at the file, if there is one, before anything is started for it.

        Raises:
            LoadError: it cannot be loaded.
        """
        if self.csv:
            examine(self.csv)

    def load(self, server: EmbeddedServer, say: Say) -> None:
        """Make the database, its killmails table and the killmails.

        Raises:
            WorldError: `local/sample/` does not run, or there is no killmail.
            LoadError: the file cannot be loaded.
        """
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute(f"create database {DATABASE}")
        result = server.psql(DATABASE, "--quiet", "--output", os.devnull, "-f", SAMPLE)
        if result.returncode != 0:
            raise WorldError(f"{SAMPLE} failed:\n{result.stderr.strip()}")

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
    """The embedded PostgreSQL and an Airflow in one folder; leaving `with` stops and deletes them.

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
        self._live = Processes(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def conninfo(self, **parameters: Any) -> str:
        """A libpq connection string of the killboard's database, of the superuser unless `user` says otherwise."""
        return self.server.conninfo(DATABASE, **parameters)

    def start(self, source: Source, say: Say) -> None:
        """Start everything and load the killmails.

        Raises:
            WorldError, ServerError, AirflowError, LoadError: it does not work.
        """
        if taken(self.airflow.port):
            raise WorldError(f"Port {self.airflow.port} is taken: choose another with PORT={self.airflow.port + 1}")
        self.server.start()
        jit = "" if compiles_queries() else ", without JIT"
        say(f"PostgreSQL runs on port {self.server.port}{jit}; Airflow starts while the killmails are made")
        self.airflow = AirflowServer(
            self.airflow.home,
            port=self.airflow.port,
            connections={"entity_stats_db": self.server.uri(DATABASE)},
        )
        self.airflow.migrate()
        with uninterrupted():
            self.airflow.start()
        source.load(self.server, say)
        self._await(self.airflow.healthy, "Airflow is not healthy")
        self._await(lambda: set(self.airflow.api.dags()) == DAGS, f"Airflow does not find {len(DAGS)} DAGs in dags/")
        say(f"Airflow runs: {self.airflow.url}")

    def keep_writing(self, source: Source) -> None:
        """Let killmails arrive from now on, at the pace of the game."""
        lag = (datetime.now(UTC) - source.as_of).total_seconds()
        with uninterrupted():
            self._live.start(
                "live",
                [sys.executable, "-m", "local.live", self.conninfo(user=INGEST), f"--lag={lag:.0f}", f"--pause={PACE}"],
                {**os.environ, "PYTHONPATH": str(CLONE)},
            )

    def writer_ended(self) -> str:
        """The end of the log of the program that lets killmails arrive, if it has ended by itself, else ""."""
        return self._live.end_of_log("live").strip() or "it says nothing" if self._live.ended() else ""

    def running(self) -> bool:
        """Whether PostgreSQL and Airflow run, whoever started them."""
        return self.server.running() and self.airflow.running()

    def run(self, dag_id: str, conf: Mapping[str, Any], say: Say) -> None:
        """Run a DAG to its end, telling of its tasks as their states change, and what the database has told them.

        Raises:
            WorldError: it fails; the end of the log of each try that failed has been told.
            AirflowError: it takes longer than RUN_TIMEOUT.
        """
        api = self.airflow.api
        run_id = api.trigger(dag_id, conf)
        say(f"{self.airflow.url}/dags/{dag_id}/runs/{run_id}")

        def changed(task: Task) -> None:
            self.airflow.check()
            if task.state == "running":
                return
            say(f"  {task.name}: {task.state}" + (f" after {task.seconds:.1f} s" if task.end else ""))
            if task.state == "success":
                lines = api.told(dag_id, run_id, task)
                if len(lines) > TOLD and task.task_id != "summary":
                    lines = [f"({len(lines) - TOLD} lines)", *lines[-TOLD:]]
                for line in lines:
                    say(f"      {line}")
            if task.state in ("failed", "up_for_retry"):
                say(f"The end of the log of {task.name}:")
                say("\n".join(f"    {line}" for line in api.log(dag_id, run_id, task)))

        state = api.follow(dag_id, run_id, changed=changed, timeout=RUN_TIMEOUT)
        if state != "success":
            raise WorldError(f"The run of {dag_id} has {state}.")

    def remove(self) -> None:
        """Stop everything and delete the folder; Ctrl-C waits until it is done."""
        with uninterrupted():
            try:
                self._live.stop()
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


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A fresh folder that PostgreSQL can live in, deleted in the end.

    Raises:
        WorldError: no temporary folder suits it.
    """
    with ExitStack() as stack:
        with _turn():
            folder = _suitable(lambda base: Path(tempfile.mkdtemp(prefix=f"{_own(base).name}-", dir=base)))
            stack.enter_context(_locked(folder))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder


def clear_away(say: Say) -> None:
    """Stop and delete what is left of this clone's temporary folders whose programs were killed.

    Args:
        say: is told when there was something.

    Raises:
        ServerError: a server does not stop.
    """
    with _turn():
        for base in _bases():
            for folder in base.glob(f"{_own(base).name}-*"):
                if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
                    continue
                try:
                    with _locked(folder):
                        World(folder).remove()
                        say(f"Stopped and deleted what a killed demo had left in {folder}")
                except BlockingIOError:
                    continue  # whoever made it is at work


@contextmanager
def _turn() -> Iterator[None]:
    """Wait for the others of this clone that make or look for temporary folders."""
    with _locked(Path(__file__).parent, wait=True):
        yield


@contextmanager
def _locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a file or folder; the operating system gives it back when the program is killed.

    Raises:
        BlockingIOError: somebody else holds it, and `wait` is False.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def own_folder() -> Path | None:
    """The folder of this clone's world that `make up` has made, or None.

    Raises:
        WorldError: somebody else has put something there.
    """
    for folder in map(_own, _bases()):
        if folder.is_symlink() or folder.exists():
            if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
                raise WorldError(f"{folder} is not ours: delete it, or set TMPDIR to another folder")
            return folder
    return None


def _own(base: Path) -> Path:
    """Where the world of `make up` is: this user's and this clone's."""
    return base / f"entity-stats-{os.getuid()}-{hashlib.sha256(str(CLONE).encode()).hexdigest()[:8]}"


def _make_own(base: Path) -> Path:
    folder = _own(base)
    folder.mkdir(mode=0o700)
    return folder


def _bases() -> list[Path]:
    bases = dict.fromkeys([Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")])
    return [base for base in bases if base.is_dir()]


def _suitable(make: Callable[[Path], Path]) -> Path:
    """A folder, made in the first base where PostgreSQL can live in it.

    Raises:
        WorldError: there is none.
    """
    reasons = []
    for base in _bases():
        folder = make(base)
        try:
            folder.chmod(0o711)  # the server's user can go through it, and nobody can list it
            EmbeddedServer(folder=folder / "postgresql")
        except ServerError as error:
            reasons.append(str(error))
            shutil.rmtree(folder)
        except BaseException:
            shutil.rmtree(folder)
            raise
        else:
            return folder
    raise WorldError("\n".join(["No temporary folder suits PostgreSQL; set TMPDIR to one that does:", *reasons]))


@contextmanager
def interruptible() -> Iterator[None]:
    """Take the signals that end a program like Ctrl-C, so that it cleans up."""

    def interrupt(_kind: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    kinds = [kind for kind in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(kind) != signal.SIG_IGN]  # nohup's
    before = [signal.signal(kind, interrupt) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and the like wait until the end of the block."""
    waiting: list[int] = []
    # Handlers, unlike SIG_IGN, do not pass to programs that are started meanwhile.
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(kind, lambda number, _: waiting.append(number)) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
        if waiting:
            signal.raise_signal(waiting[0])


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """One `up` or `down` of this clone at a time.

    Raises:
        WorldError: another one is at work.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(_locked(Path(__file__)))
        except BlockingIOError:
            raise WorldError("Another make up or make down of this clone is at work: wait for its end.") from None
        yield


def up(source: Source, port: int, say: Say) -> str:
    """Start the world, fill the cache by the backfill, and leave it running with killmails arriving.

    Does nothing when it runs already; what is left of one that was cut off is deleted first.

    Args:
        source: of the killmails.
        port: of the UI.
        say: is told what happens.

    Returns:
        What a person wants to know about the world.

    Raises:
        Exception: one of ERRORS; nothing is left then.
    """
    with _one_at_a_time():
        if folder := own_folder():
            world = World(folder)
            if world.running():
                return f"It runs already.\n{_about(world)}"
        source.check()
        clear_away(say)
        if folder:
            say("Deleting what is left of an earlier world")
            world.remove()
        if taken(port):
            raise WorldError(f"Port {port} is taken: choose another with make up PORT={port + 1}")
        world = World(_suitable(_make_own), port=port)
        try:
            world.start(source, say)
            say(f"Backfill as of {source.as_of:%Y-%m-%d %H:%M} UTC:")
            world.run(BACKFILL, {"as_of": source.as_of.isoformat()}, say)
            world.keep_writing(source)
            # In a world of the past one would age all away to the clock's time, the other find it too old.
            past = datetime.now(UTC) - source.as_of > timedelta(days=1)
            for dag_id in DAGS - ({CLEANUP, VERIFY} if past else set()):
                world.airflow.api.patch(f"/api/v2/dags/{dag_id}", {"is_paused": False})
        except BaseException:
            world.remove()
            raise
        return _about(world)


def _about(world: World) -> str:
    ended = world.writer_ended()
    arriving = (
        f"but killmails do not arrive any more, because their writer has ended: {ended}\n"
        "Start anew with `make down`, then `make up`."
        if ended
        else f"and about a killmail a second arrives. In the UI, look at the run of {BACKFILL},\n"
        'or trigger it again with "Rebuild" and watch it.'
    )
    return f"""
Airflow, without login:  {world.airflow.url}
The database:            {world.server.bin}/psql {world.server.uri(DATABASE)}

The cache is filled, {arriving} `make down` stops and deletes everything.
Files: {world.folder}""".strip()


def down() -> str:
    """Stop and delete the world, if there is one; returns what was done.

    Raises:
        Exception: one of ERRORS.
    """
    with _one_at_a_time():
        said: list[str] = []
        clear_away(said.append)
        if folder := own_folder():
            World(folder).remove()
            said.append("Stopped; its files are deleted")
        return f"{'. '.join(said or ['Nothing runs'])}."


def _rows(text: str) -> int:
    try:
        value = int(text.replace(",", "").replace("_", ""))
    except ValueError:
        value = 0
    if not 1 <= value <= MOST_ROWS:
        raise argparse.ArgumentTypeError(f"ROWS must be a whole number from 1 to {MOST_ROWS:,}, not {text}")
    return value


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"PORT must be a whole number from 1 to 65535, not {text}")
    return int(text)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"AS_OF must be a time such as 2021-11-29T00:00:00Z, not {text}") from None
    if moment > datetime.now(UTC):
        raise argparse.ArgumentTypeError(f"AS_OF must have passed, but {text} is in the future")
    if moment < OLDEST:
        raise argparse.ArgumentTypeError(f"AS_OF must not be before {OLDEST:%Y-%m-%d}, as {text} is")
    return moment


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = Arguments(
        prog="python -m demo.world",
        description="Start a world to look at, or stop it.",
        epilog="Exit status: 0 done, 2 it does not work, 130 interrupted.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("up", help="start PostgreSQL and Airflow, fill the cache, let killmails arrive")
    Source.add_arguments(starting)
    starting.add_argument(
        "--port",
        type=_port,
        metavar="PORT",
        default=os.environ.get("PORT") or str(PORT),
        help=f"of the Airflow UI; default: the environment's PORT, else {PORT}",
    )
    commands.add_parser("down", help="stop and delete it")
    options = parser.parse_args(arguments)
    try:
        with interruptible():
            print(up(Source.of(options), options.port, Printer()) if options.command == "up" else down())
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except ERRORS as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
