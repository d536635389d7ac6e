"""Backfill: how long, what it takes, what ingest feels meanwhile; and the alternatives that fill nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.benchmarks.measure import Figure, Run, insert, pgbench, seconds, wal
from tests.benchmarks.worlds import HERE, Bench, assert_exact
from tests.database import SQL, Database

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


def _ours(bench: Bench, parallel: bool) -> Database:
    database = bench.clone("filling")
    database.load(SQL / "deploy.sql")
    if not parallel:
        database.execute("alter database filling set max_parallel_workers_per_gather = 0")
        database.close()
    return database


def _theirs(bench: Bench, indexes: bool) -> Database:
    database = bench.clone("filling")
    database.load(SQL / "3_cache" / "entity_stats_cache.sql", HERE / "four_phases.sql")
    if indexes:
        database.execute(INDEXES)
    return database


def _fill_ours(database: Database) -> dict[str, float]:
    """The steps of entity_stats.backfill(), and the seconds that each takes."""
    steps = {"begin": "call entity_stats.backfill_begin()"}
    for period in PERIODS:
        for kind in TYPES:
            steps[f"{period}, {kind}"] = f"call entity_stats.backfill_phase('{period}', '{kind}')"
    steps["finish"] = "call entity_stats.backfill_finish()"
    return {step: seconds(partial(database.execute, call)) for step, call in steps.items()}


def _fill_theirs(database: Database) -> dict[str, float]:
    return {"all": seconds(partial(database.execute, "call baseline.backfill()"))}


#: Variant -> how to make its database, how to fill its cache.
VARIANTS: dict[str, tuple[Callable[[Bench], Database], Callable[[Database], dict[str, float]]]] = {
    "four-phases": (partial(_theirs, indexes=True), _fill_theirs),
    "four-phases, no index but the key": (partial(_theirs, indexes=False), _fill_theirs),
    "ours": (partial(_ours, parallel=True), _fill_ours),
    "ours, no parallel workers": (partial(_ours, parallel=False), _fill_ours),
}


def backfill(bench: Bench, rounds: int) -> list[Figure]:
    """From an empty cache to a full one."""
    figure = Figure(f"backfill of {bench.rows:,} killmails", "s")
    written = Figure(f"backfill of {bench.rows:,} killmails: WAL", "MB")
    spilled = Figure(f"backfill of {bench.rows:,} killmails: temporary files", "MB")
    memory = Figure(f"backfill of {bench.rows:,} killmails: peak memory of its backend, shared buffers included", "MB")
    phases = Figure(f"backfill of {bench.rows:,} killmails: its steps", "s")
    for _ in range(rounds):
        for name, (make, fill) in VARIANTS.items():
            database = make(bench)
            position = wal(database)
            took = fill(database)
            figure.values.setdefault(name, []).append(sum(took.values()))
            if name == "ours":
                for step, time in took.items():
                    phases.values.setdefault(step, []).append(time)
            written.values.setdefault(name, []).append((wal(database) - position) / 1e6)
            pid = database.value("select pg_backend_pid()")
            memory.values.setdefault(name, []).append(_peak(pid))
            database.close()  # a backend reports what it spilled at its end
            temporary = "select temp_bytes / 1e6::float8 from pg_stat_database where datname = current_database()"
            spilled.values.setdefault(name, []).append(database.value(temporary))
            if name.startswith("ours"):
                assert_exact(database)
            database.close()
    return [figure, phases, written, spilled, memory]


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def ingest_meanwhile(bench: Bench) -> list[Figure]:
    """Latency of single inserts, 50 a second, idle and while a backfill runs. The baseline's cache is wrong afterwards."""
    median = Figure(f"single-row insert, {RATE}/s, during the backfill: median", "ms")
    p99 = Figure(f"single-row insert, {RATE}/s, during the backfill: p99", "ms")
    idle = bench.clone("filling")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "one.sql"
        script.write_text(insert(1, bench.feed))
        run = pgbench(idle, script, 2, 10 if bench.rows > 100_000 else 0, rate=RATE)
        median.values["floor, idle"], p99.values["floor, idle"] = [run.median], [run.p99]
        idle.close()
        for name in ("four-phases", "ours"):
            make, fill = VARIANTS[name]
            database = make(bench)
            worker = Database(bench.server, database.name)
            with ThreadPoolExecutor() as pool:
                filling = pool.submit(fill, worker)
                runs: list[Run] = []
                while not runs or not filling.done():
                    runs.append(pgbench(database, script, 2, 5 if bench.rows > 100_000 else 0, rate=RATE))
                filling.result()
            median.values[name] = [run.median for run in runs]
            p99.values[name] = [run.p99 for run in runs]
            p99.failed[name] = sum(run.failed for run in runs)
            if name == "ours":
                assert_exact(database)
            worker.close()
            database.close()
    return [median, p99]


def materialized_views(databases: dict[str, Database]) -> list[Figure]:
    """What keeping materialized views fresh takes: everything, every time."""
    figure = Figure("REFRESH MATERIALIZED VIEW CONCURRENTLY, one per entity type", "s")
    ours = databases["ours"]
    ours.execute("create schema matview")
    for kind in TYPES:
        ours.execute(f"create materialized view matview.{kind} as select * from public.{kind}_stats")
        ours.execute(f'create unique index on matview.{kind} ("entityId", period)')
    figure.values["matview"] = [
        sum(seconds(partial(ours.execute, f"refresh materialized view concurrently matview.{kind}")) for kind in TYPES)
    ]
    ours.execute("drop schema matview cascade")
    return [figure]


def week(bench: Bench) -> list[Figure]:
    """Bytes per entity after seven days of ingest and seven cleanups, beside the specification's table with the same rows."""
    figure = Figure("cache per entity after a simulated week, table and indexes", "bytes")
    database = _ours(bench, parallel=True)
    database.execute("""delete from public.killmails where "killmailTime" >= now() - interval '168 hours'""")
    database.execute("call entity_stats.backfill(as_of => now() - interval '168 hours')")
    daily = max(20, bench.rows // (5 * 365))
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


def soak(databases: dict[str, Database], feed: int, seconds: float, rate: float = 500) -> list[Figure]:
    """Latency and sizes in the first and last tenth of a long run at 500 killmails a second, autovacuum on."""
    ours = databases["ours"]
    what = f"soak, {rate:.0f} killmails/s for {seconds:.0f} s"
    median, p99, size = (
        Figure(f"{what}: median", "ms"),
        Figure(f"{what}: p99", "ms"),
        Figure(f"{what}: cache and ledger", "MB"),
    )
    total = "select (pg_total_relation_size('public.entity_stats_cache') + pg_total_relation_size('entity_stats.ledger')) / 1e6::float8"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "five.sql"
        script.write_text(insert(5, feed))
        for name, length in (
            ("first tenth", seconds / 10),
            ("between", seconds * 8 / 10),
            ("last tenth", seconds / 10),
        ):
            run = pgbench(ours, script, 8, length, rate=rate / 5)
            if name != "between":
                median.values[name], p99.values[name] = [run.median], [run.p99]
                size.values[name] = [ours.value(total)]
    assert_exact(ours)
    return [median, p99, size]
