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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.worlds import HERE, Bench, assert_exact
from tests.database import SQL, Database

COLUMNS = (
    '"solarSystemId", "victimCharacterId", "victimCorporationId", "victimAllianceId", "victimShipTypeId", '
    '"topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId", "topAttackerShipTypeId", '
    '"totalValue", "attackerCount", npc, solo, awox'
)

DEFERRED = "-c entity_stats.fold=deferred"


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
    return (
        f"\\set n random(1, {feed - rows})\n"
        f"insert into public.killmails select nextval('bench.id'), \"killmailTime\", {COLUMNS} "
        f"from bench.feed where n >= :n and n < :n + {rows};\n"
    )


def pgbench(database: Database, script: Path, clients: int, seconds: float, options: str) -> tuple[float, float, int]:
    """Run pgbench (for less than a second: 20 transactions per client); return transactions/s, mean latency in ms, and clients that died or transactions that failed."""
    server = database.server
    length = ("-T", str(round(seconds))) if seconds >= 1 else ("-t", "20")
    result = subprocess.run(
        [
            server.bin / "pgbench",
            *("-n", "-M", "prepared", "-c", str(clients), "-j", "2", *length, "-f", script),
            server.conninfo(database.name),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PGOPTIONS": options},
    )
    tps = re.search(r"tps = ([\d.]+)", result.stdout)
    latency = re.search(r"latency average = ([\d.]+)", result.stdout)
    failed = re.search(r"number of failed transactions: (\d+)", result.stdout)
    if not (tps and latency and failed):
        raise RuntimeError(f"pgbench failed:\n{result.stdout}{result.stderr}")
    return float(tps[1]), float(latency[1]), int(failed[1]) + result.stderr.count("aborted in command")


def write_path(databases: Mapping[str, Database], feed: int, rounds: int, seconds: float, clients: int) -> list[Figure]:
    """Inserts of one killmail, 100, and 3 x 20 per transaction, by one client and by several, folded at once or later."""
    three = "begin;\n" + 3 * insert(20, feed) + "commit;\n"
    ours = {name: database for name, database in databases.items() if name in ("floor", "ours")}
    many = {name: database for name, database in databases.items() if name != "row-trigger"}
    cases: list[tuple[str, Mapping[str, Database], str, int, str]] = [
        ("single-row insert, 1 client", databases, insert(1, feed), 1, ""),
        (f"single-row insert, {clients} clients", databases, insert(1, feed), clients, ""),
        (f"3 x 20 rows per transaction, {clients} clients", many, three, clients, ""),
        (f"100-row insert, {clients} clients", many, insert(100, feed), clients, ""),
        (f"3 x 20 rows, {clients} clients, deferred fold", ours, three, clients, DEFERRED),
        (f"100-row insert, {clients} clients, deferred fold", ours, insert(100, feed), clients, DEFERRED),
    ]
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (what, variants, text, count, options) in enumerate(cases):
            script = Path(folder) / f"{number}.sql"
            script.write_text(text)
            throughput = Figure(what, "transactions/s")
            latency = Figure(f"{what}: latency", "ms")
            for turn in range(rounds + 1):
                for name in random.sample(list(variants), len(variants)):
                    tps, mean, failed = pgbench(variants[name], script, count, seconds, options)
                    throughput.failed[name] = throughput.failed.get(name, 0) + failed
                    if turn:  # the first round warms up
                        throughput.values.setdefault(name, []).append(tps)
                        latency.values.setdefault(name, []).append(mean)
            figures += [throughput, latency]
            variants["ours"].execute("call entity_stats.fold_pending()")
    assert_exact(databases["ours"])
    return figures


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def bulk(databases: Mapping[str, Database], rows: int) -> list[Figure]:
    """One statement that inserts many killmails (what COPY is to triggers), alone and with the folding of all it left."""
    figure = Figure(f"one statement of {rows:,} killmails, then fold_pending()", "s")
    sql = (
        f"insert into public.killmails select nextval('bench.id'), \"killmailTime\", {COLUMNS} "
        "from bench.feed cross join generate_series(1, %s) where n <= %s"
    )
    for name in ("floor", "ours"):
        feed = databases[name].value("select count(*) from bench.feed")
        take = min(rows, feed)
        figure.values[name] = [_seconds(partial(databases[name].execute, sql, [max(1, rows // take), take]))]
    figure.values["ours"][0] += _seconds(partial(databases["ours"].execute, "call entity_stats.fold_pending()"))
    assert_exact(databases["ours"])
    return [figure]


def one_beside_many(databases: Mapping[str, Database], rows: int) -> list[Figure]:
    """The slowest single insert while another session commits many killmails in one transaction."""
    figure = Figure(f"slowest insert while {rows:,} killmails are committed", "ms")
    one = f"insert into public.killmails select nextval('bench.id'), \"killmailTime\", {COLUMNS} from bench.feed where n = 1"
    many = (
        f"insert into public.killmails select nextval('bench.id'), \"killmailTime\", {COLUMNS} "
        f"from bench.feed where n <= {rows}"
    )
    for name in ("floor", "ours"):
        with databases[name].connect() as session:
            session.execute(one)
            other = databases[name].connect()
            thread = threading.Thread(target=other.execute, args=(many,))
            thread.start()
            slowest = 0.0
            while thread.is_alive():
                slowest = max(slowest, _seconds(partial(session.execute, one)))
            other.close()
        figure.values[name] = [1000 * slowest]
    databases["ours"].execute("call entity_stats.fold_pending()")
    assert_exact(databases["ours"])
    return [figure]


def prices(databases: Mapping[str, Database], transactions: int) -> list[Figure]:
    """Price updates, each a transaction."""
    figure = Figure(f"{transactions:,} price updates, a transaction each", "s")
    ids = databases["floor"].fetch(
        'select "killmailId", "killmailTime" from public.killmails order by "killmailTime" desc limit %s',
        [transactions],
    )
    update = (
        'update public.killmails set "totalValue" = "totalValue" + 1000 where "killmailId" = %s and "killmailTime" = %s'
    )

    def run(database: Database) -> None:
        with database.connect() as session:
            for key in ids:
                session.execute(update, key)

    for name in ("floor", "ours"):
        figure.values[name] = [_seconds(partial(run, databases[name]))]
    assert_exact(databases["ours"])
    return [figure]


def backfill(bench: Bench, rounds: int) -> list[Figure]:
    """From an empty cache to a full one: ours, and the four phases with the index in place."""
    figure = Figure(f"backfill of {bench.rows:,} killmails", "s")
    for _ in range(rounds):
        ours = bench.clone("backfill")
        ours.load(SQL / "deploy.sql")
        figure.values.setdefault("ours", []).append(_seconds(partial(ours.execute, "call entity_stats.backfill()")))
        assert_exact(ours)
        ours.close()
        theirs = bench.clone("backfill")
        theirs.load(SQL / "3_cache" / "entity_stats_cache.sql", HERE / "four_phases.sql")
        figure.values.setdefault("four-phases", []).append(
            _seconds(partial(theirs.execute, "call baseline.backfill()"))
        )
        theirs.close()
    return [figure]


def size(databases: Mapping[str, Database]) -> list[Figure]:
    """Bytes per entity, table and indexes, after the write path's inserts and a vacuum."""
    figure = Figure("cache per entity, after the inserts above", "bytes")
    tables = {"ours": "public.entity_stats_cache", "statement-trigger": "baseline.entity_stats_cache"}
    for name, table in tables.items():
        if name in databases:
            databases[name].execute(f"vacuum {table}")
            size = databases[name].value(f"select pg_total_relation_size('{table}') / count(*)::float8 from {table}")
            figure.values[name] = [size]
    return [figure]
