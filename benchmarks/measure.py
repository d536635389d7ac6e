"""The measurements. Each returns rows of figures; rounds of the variants alternate, so that all share the machine's moods."""

from __future__ import annotations

import os
import random
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.worlds import Bench
from tests.fixtures.database import SQL, Database

COLUMNS = (
    '"solarSystemId", "victimCharacterId", "victimCorporationId", "victimAllianceId", "victimShipTypeId", '
    '"topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId", "topAttackerShipTypeId", '
    '"totalValue", "attackerCount", npc, solo, awox'
)

#: Killmails of the feed under new ids, whichever a condition says.
INSERT = f"insert into public.killmails select nextval('bench.id'), \"killmailTime\", {COLUMNS} from bench.feed"

DEFERRED = "-c entity_stats.fold=deferred"

#: Transactions per client where a test wants to see that it runs.
FEW = 5

#: Killmails after a checkpoint whose WAL is measured.
LOGGED = 10_000


def percentile99(times: Iterable[float]) -> float:
    """The 99th percentile."""
    ordered = sorted(times)
    return ordered[int(len(ordered) * 0.99)]


@dataclass
class Figure:
    """One row of the results: the values of every round by variant, in one unit."""

    what: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    def median(self, variant: str) -> float:
        """The median of a variant's rounds."""
        return statistics.median(self.values[variant])

    def row(self) -> dict[str, Any]:
        """Median, smallest and largest value, and failures, by variant."""
        return {
            "what": self.what,
            "unit": self.unit,
            "variants": {
                name: {
                    "median": self.median(name),
                    "min": min(values),
                    "max": max(values),
                    "failed": self.failed.get(name, 0),
                }
                for name, values in self.values.items()
            },
        }


def insert(rows: int, feed: int) -> str:
    """A pgbench script's INSERT of that many consecutive killmails of the feed, under new ids."""
    return f"\\set n random(1, {feed - rows})\n{INSERT} where n >= :n and n < :n + {rows};\n"


@dataclass
class Run:
    """What a pgbench run has to say: transactions/s, milliseconds, and clients that died or transactions that failed."""

    tps: float
    median: float
    p99: float
    failed: int


def pgbench(
    database: Database,
    script: Path,
    clients: int,
    seconds: float,
    options: str = "",
    rate: float | None = None,
    transactions: int = FEW,
) -> Run:
    """Run pgbench, for less than a second: so many transactions per client; rate: transactions per second to start, else all it can."""
    server = database.server
    length = ("-T", str(round(seconds))) if seconds >= 1 else ("-t", str(transactions))
    pace = ("-R", str(rate)) if rate else ()
    with tempfile.TemporaryDirectory() as logs:
        result = subprocess.run(
            [
                server.bin / "pgbench",
                *("-n", "-M", "prepared", "-c", str(clients), "-j", "2", *length, *pace, "-f", script),
                *("-l", f"--log-prefix={logs}/log"),
                server.conninfo(database.name),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PGOPTIONS": options},
        )
        times = [
            int(latency) / 1000
            for log in Path(logs).iterdir()
            for latency in (line.split()[2] for line in log.read_text().splitlines())
            if latency != "failed"
        ]
    tps = re.search(r"tps = ([\d.]+)", result.stdout)
    failed = re.search(r"number of failed transactions: (\d+)", result.stdout)
    if not (tps and failed and times):
        raise RuntimeError(f"pgbench failed:\n{result.stdout}{result.stderr}")
    return Run(
        tps=float(tps[1]),
        median=statistics.median(times),
        p99=percentile99(times),
        failed=int(failed[1]) + result.stderr.count("aborted in command"),
    )


def wal(database: Database) -> int:
    """Bytes of WAL that the server has written so far."""
    return int(database.value("select pg_current_wal_insert_lsn() - '0/0'"))


def wal_per_killmail(database: Database, script: Path, clients: int, options: str, transactions: int) -> float:
    """Bytes of WAL per killmail, of so many transactions per client after a checkpoint.

    Not by time: the first change of a page after a checkpoint is a full-page image, so whoever has done less has more per killmail.
    """
    killmails = "select count(*) from public.killmails"
    before = database.value(killmails)
    database.execute("checkpoint")
    position = wal(database)
    pgbench(database, script, clients, 0, options, transactions=transactions)
    written = wal(database) - position
    return float(written / (database.value(killmails) - before))


def write_path(databases: Mapping[str, Database], feed: int, rounds: int, seconds: float, clients: int) -> list[Figure]:
    """Inserts of one killmail, 100, and 3 x 20 per transaction, by one client and by several, folded at once or later."""
    ours = {name: database for name, database in databases.items() if name in ("floor", "ours")}
    many = {name: database for name, database in databases.items() if name != "row-trigger"}
    cases: list[tuple[str, Mapping[str, Database], list[int], int, str]] = [
        ("single-row insert, 1 client", databases, [1], 1, ""),
        (f"single-row insert, {clients} clients", databases, [1], clients, ""),
        (f"3 x 20 rows per transaction, {clients} clients", many, [20, 20, 20], clients, ""),
        (f"100-row insert, {clients} clients", many, [100], clients, ""),
        (f"3 x 20 rows, {clients} clients, deferred fold", ours, [20, 20, 20], clients, DEFERRED),
        (f"100-row insert, {clients} clients, deferred fold", ours, [100], clients, DEFERRED),
    ]
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (what, variants, statements, count, options) in enumerate(cases):
            script = Path(folder) / f"{number}.sql"
            text = "".join(insert(rows, feed) for rows in statements)
            script.write_text(text if len(statements) == 1 else f"begin;\n{text}commit;\n")
            transactions = LOGGED // (sum(statements) * count) if seconds >= 1 else FEW
            throughput = Figure(what, "transactions/s")
            median, p99 = Figure(f"{what}: median", "ms"), Figure(f"{what}: p99", "ms")
            written = Figure(f"{what}: WAL per killmail", "bytes")
            for turn in range(0 if seconds >= 1 else 1, rounds + 1):
                for name in random.sample(list(variants), len(variants)):
                    run = pgbench(variants[name], script, count, seconds, options)
                    throughput.failed[name] = throughput.failed.get(name, 0) + run.failed
                    if turn:  # the first round warms up
                        for figure, value in ((throughput, run.tps), (median, run.median), (p99, run.p99)):
                            figure.values.setdefault(name, []).append(value)
            for name, database in variants.items():
                written.values[name] = [wal_per_killmail(database, script, count, options, transactions)]
            for figure in (throughput, median, p99, written):
                figure.values = {name: figure.values[name] for name in variants}
            figures += [throughput, median, p99, written]
            variants["ours"].execute("call entity_stats.fold_pending()")
    hot = Figure("updates of the cache that were HOT", "%")
    hot.values["ours"] = [
        databases["ours"].value(
            "select 100.0::float8 * n_tup_hot_upd / greatest(1, n_tup_upd) from pg_stat_user_tables where relid = 'public.entity_stats_cache'::regclass"
        )
    ]
    deadlocks = Figure("deadlocks in all of the above", "")
    deadlocks.values = {
        name: [d.value("select deadlocks from pg_stat_database where datname = current_database()")]
        for name, d in databases.items()
    }
    return [*figures, hot, deadlocks]


def seconds(work: Callable[[], object]) -> float:
    """How long a piece of work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def bulk(databases: Mapping[str, Database], rows: int) -> list[Figure]:
    """One statement that inserts many killmails (what COPY is to triggers), alone and with the folding of all it left."""
    figure = Figure(f"one statement of {rows:,} killmails, then fold_pending()", "s")
    sql = f"{INSERT} cross join generate_series(1, %s) where n <= %s"
    for name in ("floor", "ours"):
        feed = databases[name].value("select count(*) from bench.feed")
        take = min(rows, feed)
        figure.values[name] = [seconds(partial(databases[name].execute, sql, [max(1, rows // take), take]))]
    figure.values["ours"][0] += seconds(partial(databases["ours"].execute, "call entity_stats.fold_pending()"))
    return [figure]


def one_beside_many(databases: Mapping[str, Database], rows: int) -> list[Figure]:
    """The slowest single insert while another session commits many killmails in one transaction."""
    figure = Figure(f"slowest insert while {rows:,} killmails are committed", "ms")
    one = f"{INSERT} where n = 1"
    many = f"{INSERT} where n <= {rows}"
    for name in ("floor", "ours"):
        with databases[name].connect() as session:
            session.execute(one)
            other = databases[name].connect()
            thread = threading.Thread(target=other.execute, args=(many,))
            thread.start()
            slowest = 0.0
            while thread.is_alive():
                slowest = max(slowest, seconds(partial(session.execute, one)))
            other.close()
        figure.values[name] = [1000 * slowest]
    databases["ours"].execute("call entity_stats.fold_pending()")
    return [figure]


def prices(databases: Mapping[str, Database], transactions: int, rounds: int) -> list[Figure]:
    """Price updates, each a transaction."""
    figure = Figure(f"{transactions:,} price updates, a transaction each", "s")
    update = (
        'update public.killmails set "totalValue" = "totalValue" + 1000 where "killmailId" = %s and "killmailTime" = %s'
    )
    names = ["floor", "ours"]
    sessions = {name: databases[name].connect() for name in names}
    keys = {
        name: databases[name].fetch(
            'select "killmailId", "killmailTime" from public.killmails order by "killmailTime" desc limit %s',
            [transactions],
        )
        for name in names
    }

    def run(name: str, some: list[tuple[Any, ...]]) -> None:
        for key in some:
            sessions[name].execute(update, key)

    for name in names:
        run(name, keys[name][:100])  # plans are made
    for _ in range(rounds):
        for name in random.sample(names, len(names)):
            figure.values.setdefault(name, []).append(seconds(partial(run, name, keys[name])))
    for session in sessions.values():
        session.close()
    figure.values = {name: figure.values[name] for name in names}
    return [figure]


def nightly_checks(database: Database, rows: int) -> list[Figure]:
    """All claims that the nightly cleanup proves, by psql and sql/check.sql, with the server's settings for JIT and work_mem."""
    figure = Figure(f"all nightly checks, {rows:,} killmails", "s")

    def check() -> None:
        result = database.psql("-f", SQL / "check.sql")
        if result.returncode:
            raise RuntimeError(f"{result.stdout}{result.stderr}")

    figure.values["ours"] = [seconds(check)]
    return [figure]


def beside_pending(bench: Bench, ours: Database, rows: int, seconds: float, rounds: int = 5) -> list[Figure]:
    """Single inserts of one client where many facts are pending and where none are, on two copies of one database."""
    figure = Figure(f"single-row insert, 1 client, {rows:,} facts pending: median", "ms")
    ours.close()
    databases = {"nothing pending": bench.clone("nothing_pending", template=ours.name), "ours": ours}
    take = min(rows, bench.feed)
    with ours.connect() as session:
        session.execute("set entity_stats.fold = 'deferred'")
        session.execute(f"{INSERT} cross join generate_series(1, %s) where n <= %s", [max(1, rows // take), take])
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "one.sql"
        script.write_text(insert(1, bench.feed))
        for turn in range(rounds + 1):
            for name in random.sample(list(databases), len(databases)):
                median = pgbench(databases[name], script, 1, seconds).median
                if turn:  # the first round warms up
                    figure.values.setdefault(name, []).append(median)
    databases["nothing pending"].close()
    figure.values = {name: figure.values[name] for name in databases}
    return [figure]


def lines_of_sql() -> Figure:
    """How much there is to read between a killmail and the cache."""
    files = [file for folder in ("02_capture", "03_cache") for file in (SQL / folder).glob("*.sql")]
    lines = sum(len(file.read_text().splitlines()) for file in files)
    return Figure("lines of SQL from capture to cache", "lines", {"ours": [lines]})


def felt(database: Database, rate: float, work: Callable[[], object]) -> tuple[list[float], float]:
    """Milliseconds of each insert of a steady ingest, so many a second, while work is done; and seconds that the work took."""
    started, done = threading.Event(), threading.Event()
    waits: list[float] = []
    feed = database.value("select count(*) from bench.feed")
    one = f"{INSERT} where n = %s"

    def ingest() -> None:
        with database.connect() as session:
            for n in range(1, 51):  # its plans are made, its tables are in memory
                session.execute(one, [n])
            started.set()
            begun = time.perf_counter()
            while not done.is_set():
                waits.append(1000 * seconds(partial(session.execute, one, [random.randint(1, feed)])))
                done.wait(max(0, begun + len(waits) / rate - time.perf_counter()))

    thread = threading.Thread(target=ingest)
    thread.start()
    started.wait()
    length = seconds(work)
    done.set()
    thread.join()
    return waits, length
