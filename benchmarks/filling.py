"""Backfill: how long, what it takes, what ingest feels meanwhile; and the alternatives that fill nothing.

A part of `make bench`; backfills of a larger world, alone:

    python -m benchmarks.filling [KILLMAILS] [--output FOLDER]     default: 20,000,000

Adds its figures to the results that `make bench` has left in the folder.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import report, worlds
from benchmarks.measure import Figure, felt, percentile99, seconds, wal
from benchmarks.worlds import HERE, YEARS, Bench, assert_exact
from tests.fixtures.database import SQL, Database

PERIODS = ("all", "90d", "30d", "14d")
TYPES = ("character", "corporation", "alliance")

#: Killmails per second that arrive while a backfill runs.
RATE = 50

#: Indexes that a site gives the specification's table for its leaderboards and health checks.
INDEXES = """
create index on baseline.entity_stats_cache ("entityType", "killsAll" desc);
create index on baseline.entity_stats_cache ("lastKillTime");
create index on baseline.entity_stats_cache ("lastLossTime");
"""


def _ours(bench: Bench, name: str = "filling") -> Database:
    database = bench.clone(name)
    database.load(SQL / "deploy.sql")
    return database


def _theirs(bench: Bench, name: str = "filling", indexes: str = "") -> Database:
    database = bench.clone(name)
    database.load(SQL / "03_cache" / "entity_stats_cache.sql", HERE / "four_phases.sql")
    if indexes:
        database.execute(indexes)
    return database


@dataclass
class Filling:
    """What a backfill took: seconds, MB of the largest of its backends, shared buffers included, and seconds by step."""

    total: float
    memory: float
    steps: dict[str, float] = field(default_factory=dict)


def _fill_ours(database: Database, sessions: int) -> Filling:
    """What the DAG runs, with one or three tasks at a time: the phases of a period may run side by side."""
    steps: dict[str, float] = {}
    peaks: list[float] = []

    def step(name: str, call: str) -> None:
        with closing(Database(database.server, database.name)) as session:
            steps[name] = seconds(partial(session.execute, call))
            peaks.append(_peak(session))

    def phase(period: str, kind: str) -> None:
        step(f"{period}, {kind}", f"call entity_stats.backfill_phase('{period}', '{kind}')")

    begun = time.perf_counter()
    step("begin", "call entity_stats.backfill_begin()")
    with ThreadPoolExecutor(sessions) as pool:
        for period in PERIODS:
            list(pool.map(partial(phase, period), TYPES))
    step("finish", "call entity_stats.backfill_finish()")
    return Filling(time.perf_counter() - begun, max(peaks), steps)


def _fill_theirs(database: Database) -> Filling:
    return Filling(seconds(partial(database.execute, "call baseline.backfill()")), _peak(database))


def _peak(database: Database) -> float:
    status = Path(f"/proc/{database.value('select pg_backend_pid()')}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


#: Variant -> how to make its database, how to fill its cache. The databases "baseline" and "ours" stay.
VARIANTS: dict[str, tuple[Callable[[Bench], Database], Callable[[Database], Filling]]] = {
    "four-phases": (partial(_theirs, indexes=INDEXES), _fill_theirs),
    "four-phases, no index but the key": (partial(_theirs, name="baseline"), _fill_theirs),
    "ours": (partial(_ours, name="ours"), partial(_fill_ours, sessions=3)),
    "ours, one session": (_ours, partial(_fill_ours, sessions=1)),
}


def backfill(bench: Bench, rounds: int, variants: Sequence[str] = tuple(VARIANTS)) -> list[Figure]:
    """From an empty cache to a full one."""
    what = f"backfill of {bench.rows:,} killmails"
    figure = Figure(what, "s")
    written, spilled = Figure(f"{what}: WAL", "MB"), Figure(f"{what}: temporary files", "MB")
    memory = Figure(f"{what}: peak memory of a backend, shared buffers included", "MB")
    phases = Figure(f"{what}: its steps, those of a period side by side", "s")
    for _ in range(rounds):
        for name in random.sample(variants, len(variants)):
            make, fill = VARIANTS[name]
            database = make(bench)
            position = wal(database)
            filling = fill(database)
            figure.values.setdefault(name, []).append(filling.total)
            if name == "ours":
                for step, took in filling.steps.items():
                    phases.values.setdefault(step, []).append(took)
            written.values.setdefault(name, []).append((wal(database) - position) / 1e6)
            memory.values.setdefault(name, []).append(filling.memory)
            database.close()  # a backend reports what it spilled at its end
            temporary = "select temp_bytes / 1e6::float8 from pg_stat_database where datname = current_database()"
            spilled.values.setdefault(name, []).append(database.value(temporary))
            database.close()
    for each in (figure, written, spilled, memory):
        each.values = {name: each.values[name] for name in variants}
    phases.values = dict(sorted(phases.values.items(), key=lambda step: (step[0] != "begin", step[0] == "finish")))
    return [each for each in (figure, phases, written, spilled, memory) if each.values]


def projected(figures: Sequence[Figure], worlds: Sequence[Bench], killmails: int) -> Figure:
    """The backfill of a larger world, if each further killmail costs what it costs between the two that were measured."""
    times = {figure.what: figure.values for figure in figures}
    [less, more] = [statistics.median(times[f"backfill of {world.rows:,} killmails"]["ours"]) for world in worlds]
    each = (more - less) / (worlds[1].rows - worlds[0].rows)
    what = f"backfill of {killmails:,} killmails, projected from {worlds[0].rows:,} and {worlds[1].rows:,}"
    return Figure(what, "min", {"ours": [(more + each * (killmails - worlds[1].rows)) / 60]})


def ingest_meanwhile(bench: Bench, rounds: int) -> list[Figure]:
    """Latency of single inserts, 50 a second, idle and while a backfill runs. The baseline's cache is wrong afterwards."""
    median = Figure(f"single-row insert, {RATE}/s, during the backfill: median", "ms")
    p99 = Figure(f"single-row insert, {RATE}/s, during the backfill: p99", "ms")

    def note(name: str, database: Database, work: Callable[[], object]) -> None:
        waits, _ = felt(database, RATE, work)
        median.values.setdefault(name, []).append(statistics.median(waits))
        p99.values.setdefault(name, []).append(percentile99(waits))

    with closing(bench.clone("filling")) as idle:
        note("floor, idle", idle, partial(time.sleep, 5 if bench.rows > 100_000 else 0.1))
    names = {"four-phases": "four-phases", "ours, one session": "ours"}
    for turn in range(rounds):
        for variant in random.sample(list(names), len(names)):
            make, fill = VARIANTS[variant]
            database = make(bench)
            with closing(Database(bench.server, database.name)) as worker:
                note(names[variant], database, partial(fill, worker))
            if variant != "four-phases" and turn == rounds - 1:
                assert_exact(database)
            database.close()
    for figure in (median, p99):
        figure.values = {name: figure.values[name] for name in ("floor, idle", *names.values())}
    return [median, p99]


def materialized_views(bench: Bench) -> list[Figure]:
    """What keeping materialized views fresh takes: everything, every time."""
    figure = Figure(f"REFRESH MATERIALIZED VIEW CONCURRENTLY, one per entity type, {bench.rows:,} killmails", "s")
    database = _ours(bench)
    database.execute("create schema matview")
    for kind in TYPES:
        database.execute(f"create materialized view matview.{kind} as select * from public.{kind}_stats")
        database.execute(f'create unique index on matview.{kind} ("entityId", period)')
    figure.values["matview"] = [
        sum(
            seconds(partial(database.execute, f"refresh materialized view concurrently matview.{kind}"))
            for kind in TYPES
        )
    ]
    database.close()
    return [figure]


def week(bench: Bench) -> list[Figure]:
    """Bytes per entity after seven days of ingest and seven cleanups, beside the specification's table with the same rows."""
    figure = Figure("cache per entity after a simulated week, table and indexes", "bytes")
    database = _ours(bench)
    database.execute("""delete from public.killmails where "killmailTime" >= now() - interval '168 hours'""")
    database.execute("call entity_stats.backfill(as_of => now() - interval '168 hours')")
    daily = max(20, bench.rows // (YEARS * 365))
    for day in range(7):
        with database.connect() as session:
            for batch in range(daily // 20):
                session.execute(
                    "insert into public.killmails select * from sample.killmails("
                    "20, now() - %s * interval '24 hours', now() - %s * interval '24 hours', %s, 1000000000000 + 20 * nextval('bench.id'))",
                    [7 - day, 6 - day, 1000 * day + batch],
                )
        database.execute("call entity_stats.age_windows(as_of => now() - %s * interval '24 hours')", [6 - day])
    database.execute("vacuum public.entity_stats_cache")
    database.execute(
        'create table public.plain (like public.entity_stats_cache including defaults, primary key ("entityId", "entityType"));'
        "insert into public.plain select * from public.entity_stats_cache"
    )
    for name, table in (("specification", "plain"), ("ours", "entity_stats_cache")):
        sql = f"select pg_total_relation_size('public.{table}') / count(*)::float8 from public.{table}"
        figure.values[name] = [database.value(sql)]
    assert_exact(database)
    database.close()
    return [figure]


def main(arguments: Sequence[str]) -> int:
    """Build, measure, add to the results; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.filling", description=__doc__)
    parser.add_argument("killmails", type=int, nargs="?", default=20_000_000)
    parser.add_argument("--output", type=Path, default=report.DOCS, help="folder of performance.md and benchmarks/")
    given = parser.parse_args(arguments)
    begun = report.moment()
    with worlds.server(report.SETTINGS) as server:
        bench = Bench(server, given.killmails, 100)
        figures = backfill(bench, 1, ("four-phases", "ours"))
        with closing(Database(server, "ours")) as database:
            assert_exact(database)
    report.add(figures, given.output, f"backfill of {given.killmails:,} killmails", begun)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
