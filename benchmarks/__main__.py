"""`python -m benchmarks`: measures, checks that the cache is exact, writes results and the documentation page.

--quick is a small run; without it, --rows decides. Results are printed, and kept where --output says.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import cleanup, filling, history, measure, reads, report, worlds
from benchmarks.worlds import YEARS, Bench, assert_exact
from tests.fixtures.database import Database

#: Backfills of the whole world, and of a tenth of it.
LARGE = ("four-phases", "four-phases, no index but the key", "ours")
SMALL = ("ours", "ours, one session")


def run(rows: int, feed: int, rounds: int, seconds: float, clients: int, bulk: int, durable: bool) -> dict[str, Any]:
    """Measure everything once; sizes in killmails, seconds per pgbench run. Raises if the cache is not exact."""
    begun, load = report.moment()
    with worlds.server(report.SETTINGS, durable=durable) as server:
        figures: list[measure.Figure] = []

        def note(step: str, more: Iterable[measure.Figure] = ()) -> None:
            print(
                f"{report.span(datetime.datetime.now(datetime.UTC) - begun):>12}  {step}", file=sys.stderr, flush=True
            )
            figures.extend(more)

        fewer = max(rows // 10, min(rows // 2, 20_000))
        with ThreadPoolExecutor() as pool:
            [bench, small] = pool.map(partial(Bench, server), (rows, fewer), (feed, feed), ("world", "small"))
        note(f"{rows:,} and {fewer:,} killmails generated")
        few = filling.backfill(small, rounds, SMALL)
        note("backfill of the small world")
        note("backfill", [*filling.backfill(bench, rounds if rows < 1_000_000 else 1, LARGE), *few])
        figures.append(filling.projected(figures, (small, bench), 90_000_000))
        note("ingest during the backfill", filling.ingest_meanwhile(small, rounds))
        note("simulated week", filling.week(small))
        note("cleanup", cleanup.cleanup(small, rounds, fewer))
        note("history", history.history(bench, rounds, seconds, clients))
        note("materialized views", filling.materialized_views(small))
        databases = bench.variants(Database(server, "ours"), Database(server, "baseline"))
        note("write path", measure.write_path(databases, feed, rounds, seconds, clients))
        note("price updates", measure.prices(databases, min(10_000, rows // 2), rounds))
        note("reads", reads.beside_the_raw_lookup(databases["ours"], seconds))
        note("nightly checks", measure.nightly_checks(databases["ours"], rows))
        note("one beside many", measure.one_beside_many(databases, min(100_000, feed)))
        note("bulk load", measure.bulk(databases, bulk))
        note("inserts beside pending facts", measure.beside_pending(bench, databases["ours"], bulk, seconds))
        assert_exact(databases["ours"])
        note("compared with the oracle", [measure.lines_of_sql()])
        version = worlds.described(databases["ours"])
        for database in databases.values():
            database.close()
    return {
        "machine": {
            "measured": f"{begun:%Y-%m-%d %H:%M} UTC, in {report.span(datetime.datetime.now(datetime.UTC) - begun)}",
            "processor": f"{os.cpu_count()} cores, {platform.machine()}",
            "load before and after": f"{load:.1f} and {os.getloadavg()[0]:.1f}: above 1, others used the machine too",
            "server": version,
            "settings": f"{report.SETTINGS}, fsync {'on' if durable else 'off'}",
            "killmails": f"{rows:,} of {YEARS} years, for some {fewer:,}; inserts from {feed:,} of the last 6 hours",
            "rounds": f"{rounds} of {seconds} s",
        },
        "figures": [figure.row() for figure in figures],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 killmails, short rounds")
    parser.add_argument("--rows", type=int, default=5_000_000, help="killmails of the past")
    parser.add_argument("--feed", type=int, default=200_000, help="killmails to insert from")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="length of a pgbench run")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--bulk", type=int, default=1_000_000, help="killmails of the bulk load")
    parser.add_argument("--durable", action=argparse.BooleanOptionalAction, default=True, help="fsync")
    parser.add_argument("--output", type=Path, help="folder of performance.md and benchmarks/, e.g. docs")
    given = parser.parse_args(arguments)
    if given.quick:
        given.rows, given.feed, given.rounds, given.seconds, given.bulk = 100_000, 50_000, 1, 2, 50_000
    results = run(given.rows, given.feed, given.rounds, given.seconds, given.clients, given.bulk, given.durable)
    if given.output:
        report.renew(results, given.output)
    print(report.targets(results), report.table(results), sep="\n")


if __name__ == "__main__":
    main()
