"""The nightly cleanup: its cost by what leaves the windows, by history, beside the specification's, and to a concurrent ingest.

A part of `make bench`; alone: python -m benchmarks.cleanup [KILLMAILS]     default: 1,000,000; prints Markdown
"""

from __future__ import annotations

import os
import random
import sys
import time
from contextlib import closing
from datetime import datetime
from functools import partial

import psycopg

from benchmarks import measure, report, worlds
from benchmarks.measure import Figure, seconds
from benchmarks.worlds import FEED, HERE, Bench, assert_exact
from local import SAMPLE
from local.server import EmbeddedServer
from tests.fixtures.database import SQL, Database

#: Single inserts per second beside the cleanup.
RATE = 50

#: Entities in a batch of the specification's job, and how many of its batches are measured at most.
BATCH, MOST_BATCHES = 1000, 24

#: The time at which the n-th killmail from now on leaves a window, a killmail counting once for each window.
DEPARTURE = """
select max(d.leaves) + interval '1 microsecond'
from (
    select k."killmailTime" + w.days * interval '24 hours' as leaves
    from entity_stats.time_window as w
    inner join public.killmails as k on k."killmailTime" >= w.cutoff and k."killmailTime" < now() - w.days * interval '24 hours'
    order by leaves
    limit %s
) as d
having count(*) = %s
"""


def cleanup(bench: Bench, rounds: int, crowd: int) -> list[Figure]:
    """Everything below; `crowd` killmails are in the 90 days of the world where the last two are measured."""
    return [
        *by_departures(bench, rounds),
        by_history(bench, rounds),
        *beside_the_nightly_recalculation(bench.server, crowd),
    ]


def age(database: Database, departures: int) -> float:
    """Age until so many killmails have left the windows; the seconds that took."""
    found = database.fetch(DEPARTURE, [departures, departures])
    if not found:
        raise RuntimeError(f"fewer than {departures} killmails can leave the windows")
    return seconds(partial(database.execute, "call entity_stats.age_windows(%s)", found[0]))


def filled(database: Database, as_of: str) -> Database:
    """Deploy and fill the cache as of a time in the past (SQL)."""
    database.load(SQL / "deploy.sql")
    database.execute(f"call entity_stats.backfill({as_of})")
    database.execute("vacuum analyze public.entity_stats_cache")
    return database


def by_departures(bench: Bench, rounds: int) -> list[Figure]:
    """Few, ten times as many, and a hundred times as many leave the windows of the same world."""
    figures = []
    database = filled(bench.clone("ageing"), "now() - interval '100 days'")
    for thousands, times in ((1, rounds), (10, rounds), (100, 1)):
        departures = 1000 * thousands * min(bench.rows, 1_000_000) // 1_000_000
        figure = Figure(f"cleanup, {departures:,} killmails leave the windows", "s")
        figure.values["ours"] = [age(database, departures) for _ in range(times)]
        figures.append(figure)
    assert_exact(database)
    database.close()
    return figures


def by_history(bench: Bench, rounds: int) -> Figure:
    """The same killmails leave the windows of a world with a tenth of the history, and of the whole one."""
    departures = min(bench.rows, 1_000_000) // 100
    figure = Figure(f"cleanup, {departures:,} killmails leave the windows, by history", "s")
    worlds: dict[str, Database] = {}
    for history in ("half a year", "5 years"):
        database = bench.clone(f"history_{len(worlds)}")
        if history == "half a year":
            database.execute("delete from public.killmails where \"killmailTime\" < now() - interval '6 months'")
            database.execute("vacuum analyze")
        worlds[f"history of {history}"] = filled(database, "now() - interval '75 days'")
    for _ in range(rounds):
        for name in random.sample(list(worlds), len(worlds)):
            figure.values.setdefault(name, []).append(age(worlds[name], departures))
    figure.values = dict(sorted(figure.values.items(), reverse=True))
    for database in worlds.values():
        assert_exact(database)
        database.close()
    return figure


def beside_the_nightly_recalculation(server: EmbeddedServer, rows: int) -> list[Figure]:
    """One night's cleanup where the 90 days are full: ours and the specification's, and what an ingest feels of ours."""
    database = crowded(server, rows)
    night = "select as_of - interval '1 day', as_of from (select date_trunc('second', now()) as as_of) as n"
    [[first, second]] = database.fetch(night)
    ageing = "call entity_stats.age_windows(%s)"
    # What the specification's job does, then all of it: leaderboards and ranks are left.
    alone = sum(
        seconds(partial(database.execute, "call entity_stats.age_window(%s, %s)", [period, first]))
        for period in ("14d", "30d", "90d")
    )
    ours = alone + seconds(partial(database.execute, ageing, [first]))
    theirs, measured, batches = recalculated(database, first)
    compared = Figure(
        f"one night's cleanup, {rows:,} killmails in 91 days", "s", {"ours": [ours], "ours, the windows alone": [alone]}
    )
    name = "nightly recalculation" + (f", {measured} of {batches} batches" if measured < batches else "")
    compared.values[name] = [theirs * batches / measured]

    felt = Figure(f"slowest of {RATE} single inserts a second, {rows:,} killmails in 91 days", "ms")
    beside, length = measure.felt(database, RATE, partial(database.execute, ageing, [second]))
    quiet, _ = measure.felt(database, RATE, partial(time.sleep, length))
    felt.values = {"nothing beside": [max(quiet)], "beside the cleanup": [max(beside)]}
    assert_exact(database)
    database.close()
    return [compared, felt]


def crowded(server: EmbeddedServer, rows: int) -> Database:
    """A world whose killmails are all of the last 92 days, its cache two days old, with a copy of it for the baseline."""
    with closing(psycopg.connect(server.conninfo(), autocommit=True)) as session:
        session.execute("create database crowded")
    database = Database(server, "crowded")
    database.load(SAMPLE)
    database.execute(f"select sample.generate_killmails({rows}, now() - interval '92 days', now())")
    database.execute(FEED.format(rows=max(100, rows // 20)))
    database.execute("vacuum analyze")
    filled(database, "now() - interval '2 days'")
    database.load(HERE / "four_phases.sql", HERE / "nightly_recalculation.sql")
    database.execute("insert into baseline.entity_stats_cache select * from public.entity_stats_cache")
    database.execute("vacuum analyze baseline.entity_stats_cache")
    return database


def recalculated(database: Database, as_of: datetime) -> tuple[float, int, int]:
    """Seconds of the specification's job for a sample of its batches, how many those were, and of how many."""
    batches = database.fetch("select of_type, ids from baseline.batches(%s, %s)", [as_of, BATCH])
    sample = random.sample(batches, min(MOST_BATCHES, len(batches)))
    recalculate = "select baseline.recalculate(%s, %s, %s)"
    took = sum(seconds(partial(database.execute, recalculate, [*batch, as_of])) for batch in sample)
    return took, len(sample), len(batches)


def main(arguments: list[str]) -> int:
    """Build, measure, print; returns the exit status."""
    rows = int(arguments[0]) if arguments else 1_000_000
    load = os.getloadavg()[0]
    with worlds.server(report.SETTINGS) as server:
        figures = cleanup(Bench(server, rows, 100), 3, rows)
    results = {
        "machine": {"load before and after": f"{load:.1f} and {os.getloadavg()[0]:.1f}"},
        "figures": [figure.row() for figure in figures],
    }
    print(results["machine"], report.table(results), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
