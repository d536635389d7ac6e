"""A steady load for a long time, autovacuum on: latency and sizes at its end are those at its start.

    python -m benchmarks.soak [SECONDS] [--rows KILLMAILS] [--output FOLDER]     default: 1200 s, 500,000

Adds its figures to the results that `make bench` has left in the folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import filling, report, worlds
from benchmarks.measure import Figure, insert, pgbench
from benchmarks.worlds import Bench, assert_exact
from local.server import EmbeddedServer

#: Killmails per second, in transactions of 5, by 8 clients.
RATE, ROWS, CLIENTS = 500, 5, 8

SIZE = "select pg_total_relation_size('{}'::regclass) / 1e6::float8"


def soak(server: EmbeddedServer, rows: int, seconds: float) -> list[Figure]:
    """Latency and sizes in the first and in the last tenth; a tenth of a world's rows is what is inserted again and again."""
    bench = Bench(server, rows, max(1000, rows // 10))
    [make, fill] = filling.VARIANTS["ours"]
    database = make(bench)
    fill(database)
    database.execute("vacuum analyze public.entity_stats_cache")
    what = f"soak, {RATE} killmails/s for {seconds:.0f} s"
    median, p99 = Figure(f"{what}: median", "ms"), Figure(f"{what}: p99", "ms")
    sizes = {
        table: Figure(f"{what}: {table}, with its indexes, at the end of the part", "MB")
        for table in ("public.entity_stats_cache", "entity_stats.ledger")
    }
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "some.sql"
        script.write_text(insert(ROWS, bench.feed))
        for part, length in (("first tenth", 0.1), ("between", 0.8), ("last tenth", 0.1)):
            run = pgbench(database, script, CLIENTS, seconds * length, rate=RATE / ROWS)
            for figure, value in ((median, run.median), (p99, run.p99)):
                figure.values[part] = [value]
                figure.failed[part] = run.failed
            for table, figure in sizes.items():
                figure.values[part] = [database.value(SIZE.format(table))]
    assert_exact(database)
    database.close()
    return [median, p99, *sizes.values()]


def main(arguments: list[str]) -> int:
    """Build, measure, add to the results; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=1200)
    parser.add_argument("--rows", type=int, default=500_000, help="killmails of the past")
    parser.add_argument("--output", type=Path, default=report.DOCS, help="folder of performance.md and benchmarks/")
    given = parser.parse_args(arguments)
    begun = report.moment()
    with worlds.server(report.SETTINGS) as server:
        figures = soak(server, given.rows, given.seconds)
    report.add(figures, given.output, "soak", begun, f"beside {given.rows:,} killmails of the past, fsync on")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
