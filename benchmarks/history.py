"""The history: what a COMMIT pays for it, what a night and the filling cost, what reads take.

A part of `make bench`; alone, into docs/performance.md as well: python -m benchmarks.history [KILLMAILS] [--seconds S] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import report, worlds
from benchmarks.measure import Figure, insert, pgbench, seconds, wal
from benchmarks.worlds import Bench, assert_exact
from tests.fixtures.database import SQL, Database

#: Killmails of the day that is closed.
DAY = 12_000

#: A killmail of the last hours, and one that comes late: 5 % of them do, as archives bring them.
LATE = """\\set n random(1, {feed})
insert into public.killmails select nextval('bench.id'), "killmailTime" - case when :n %% 20 = 0 then interval '3 days' else '0' end,
    "solarSystemId", "victimCharacterId", "victimCorporationId", "victimAllianceId", "victimShipTypeId",
    "topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId", "topAttackerShipTypeId",
    "totalValue", "attackerCount", npc, solo, awox
from bench.feed where n = :n;
""".replace("%%", "%")


def history(bench: Bench, rounds: int, length: float, clients: int = 8) -> list[Figure]:
    """Everything below, in two clones of one world: with a history and without."""
    off = bench.clone("history_off")
    off.load(SQL / "deploy.sql")
    off.execute("call entity_stats.backfill()")
    off.execute("vacuum analyze public.entity_stats_cache")
    off.close()
    on = bench.clone("history_on", template="history_off")
    figures = [
        *fill(on, bench.rows),
        *reads(on, rounds),
        *commits({"history off": off, "history on": on}, rounds, length, clients),
    ]
    figures += [late(on), close(on)]
    for database in (off, on):
        assert_exact(database)
        if wrong := database.history_oracle():
            raise RuntimeError(f"the history is wrong after the benchmark: {wrong[:5]}")
        database.close()
    for figure in figures:
        figure.what = f"history: {figure.what}"
    return figures


def fill(database: Database, rows: int) -> list[Figure]:
    """The whole history from killmails, and what it takes on disk."""
    position = wal(database)
    # As of then: of a killmail of the feed the day is open, whatever the time is.
    feed = database.value('select min("killmailTime") from bench.feed')
    took = seconds(partial(database.execute, "call entity_stats.fill_history(%s)", [feed]))
    written = (wal(database) - position) / 1e6
    database.execute("vacuum analyze entity_stats.month")
    database.execute("vacuum analyze entity_stats.day")
    figures = [
        Figure(f"filling the history of {rows:,} killmails", "s", {"ours": [took]}),
        Figure(f"filling the history of {rows:,} killmails: WAL", "MB", {"ours": [written]}),
    ]
    for table in ("month", "day"):
        size = (
            f"select sum(pg_total_relation_size(i.inhrelid))::float8 / greatest(1, (select count(*) from entity_stats.{table}))"
            f" from pg_inherits as i where i.inhparent = 'entity_stats.{table}'::regclass"
        )
        figures.append(
            Figure(f"a row of entity_stats.{table}, table and index", "bytes", {"ours": [database.value(size)]})
        )
    return figures


def commits(databases: dict[str, Database], rounds: int, length: float, clients: int) -> list[Figure]:
    """Single inserts, one in twenty of a closed day, with the history on and off in turn."""
    feed = databases["history on"].value("select count(*) from bench.feed")
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for what, text, count in (
            ("beside a history: single-row insert, 1 client", insert(1, feed), 1),
            ("beside a history: single-row insert, 5 % late, 1 client", LATE.format(feed=feed), 1),
            (f"beside a history: single-row insert, 5 % late, {clients} clients", LATE.format(feed=feed), clients),
        ):
            script = Path(folder) / "script.sql"
            script.write_text(text)
            median, throughput = Figure(f"{what}: median", "ms"), Figure(what, "transactions/s")
            for turn in range(rounds + 1):
                for name in random.sample(list(databases), len(databases)):
                    run = pgbench(databases[name], script, count, length)
                    throughput.failed[name] = throughput.failed.get(name, 0) + run.failed
                    if turn:  # the first round warms up
                        median.values.setdefault(name, []).append(run.median)
                        throughput.values.setdefault(name, []).append(run.tps)
            for figure in (throughput, median):
                figure.values = {name: figure.values[name] for name in databases}
            figures += [throughput, median]
    return figures


def close(database: Database) -> Figure:
    """A day that gets DAY killmails more, closed anew from its killmails."""
    database.execute("call entity_stats.close_history()")
    [[day]] = database.fetch('select "closedTo" - 1 from entity_stats.history')
    database.execute(
        """
        insert into public.killmails
        select * from sample.killmails(
            %s, %s::date::timestamp at time zone 'UTC', (%s::date + 1)::timestamp at time zone 'UTC', 77, 8000000000000
        )
        """,
        [DAY, day, day],
    )
    database.execute("call entity_stats.fold_pending()")
    # As it was before that night: the day is open, its month has the days before it.
    database.execute('update entity_stats.history set "closedTo" = "closedTo" - 1')
    if day.day > 1:
        database.execute("select entity_stats.recount_month(%s)", [day])
    killmails = database.value(
        """
        select count(*) from public.killmails
        where "killmailTime" >= entity_stats.midnight(%s) and "killmailTime" < entity_stats.midnight(%s::date + 1)
        """,
        [day, day],
    )
    took = seconds(partial(database.execute, "select entity_stats.close_range()"))
    return Figure(f"closing a day of {killmails:,} killmails", "s", {"ours": [took]})


def late(database: Database) -> Figure:
    """What came late in the rounds before, applied."""
    rows = database.value("select count(*) from entity_stats.late")
    took = seconds(partial(database.execute, "call entity_stats.fold_pending()"))
    return Figure(f"applying {rows:,} late rows", "s", {"ours": [took]})


def reads(database: Database, rounds: int) -> list[Figure]:
    """24 months and 60 days of the busiest alliance; its first kill and loss, its ranks, its last hours."""
    [[busiest]] = database.fetch(
        """select "entityId" from public.entity_stats_cache where "entityType" = 'alliance' order by "killsAll" desc limit 1"""
    )
    figures = []
    for what, call in (
        ("24 months of the busiest alliance", "get_entity_history(%s, 'alliance', 'month', current_date - 700)"),
        ("the same from killmails", "get_entity_history_from_view(%s, 'alliance', 'month', current_date - 700)"),
        ("60 days of the busiest alliance", "get_entity_history(%s, 'alliance', 'day', current_date - 60)"),
        ("all months of the busiest alliance", "get_entity_history(%s, 'alliance')"),
        ("its first kill and loss", "get_entity_first_times(%s, 'alliance')"),
        ("its ranks in a period", "get_entity_rank(%s, 'alliance', '30d')"),
        ("the last hour", "get_entity_stats_for_window(%s, 'alliance', interval '1 hour')"),
        ("the last 6 hours", "get_entity_stats_for_window(%s, 'alliance', interval '6 hours')"),
        ("the last 24 hours", "get_entity_stats_for_window(%s, 'alliance', interval '24 hours')"),
    ):
        figure = Figure(f"read: {what}", "ms")
        with database.connect() as session:
            for turn in range(10 * rounds + 6):
                took = 1000 * seconds(partial(session.execute, f"select * from public.{call}".encode(), [busiest]))
                if turn > 5:  # plans are made, pages are in memory
                    figure.values.setdefault("ours", []).append(took)
        figures.append(figure)
    return figures


def main(arguments: Sequence[str]) -> int:
    """Build, measure, print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.history", description=__doc__)
    parser.add_argument("killmails", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seconds", type=float, default=4, help="length of a pgbench run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=report.DOCS, help="folder of performance.md and benchmarks/")
    given = parser.parse_args(arguments)
    begun = report.moment()
    with worlds.server(report.SETTINGS) as server:
        bench = Bench(server, given.killmails, max(100, min(200_000, given.killmails // 5)))
        figures = history(bench, given.rounds, given.seconds)
    report.add(
        figures, given.output, "history", begun, f"{given.killmails:,} killmails of {worlds.YEARS} years, fsync on"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
