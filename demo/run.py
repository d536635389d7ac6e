"""The main job from end to end, on a real PostgreSQL and a real Airflow: `make demo`.

    python -m demo.run [--rows N | --csv FILE] [--as-of TIME]

Two sessions keep writing killmails while Airflow fills the cache and then ages it by a day. In the end every cell is
compared with the killmails, twice: by `entity_stats.differences()`, and by `tests/oracle.sql`, which calls nothing of
ours. Everything lives in a temporary folder, which is deleted at the end, on Ctrl-C too.

Exit status: 0 all cells exact, 1 not, or too few killmails arrived meanwhile, 2 it could not be tried.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg.rows import dict_row
from tabulate import tabulate  # type: ignore[import-untyped]

from demo.world import (
    BACKFILL,
    CLEANUP,
    ERRORS,
    INGEST,
    Arguments,
    Printer,
    Say,
    Source,
    World,
    clear_away,
    interruptible,
    temporary_folder,
)
from local import CLONE
from local.live import LiveKillmails

#: Killmails that have to arrive between the begin of the backfill and its end, for the demo to prove anything.
ENOUGH = 1000

#: Differing cells that are shown; their number is always complete.
SHOWN = 20

ORACLE = CLONE / "tests" / "oracle.sql"

DIFFERENCES = """select "entityId", "entityType", "column", cached, actual from entity_stats.differences()"""


class Site(Protocol):
    """A database full of killmails, and somebody who runs the DAGs' operations on it."""

    def conninfo(self, **parameters: Any) -> str:
        """A libpq connection string, of the superuser unless `user` says otherwise."""

    def run(self, dag_id: str, conf: Mapping[str, Any], say: Say) -> None:
        """Do what the DAG does, to its end.

        Raises:
            Exception: it fails.
        """


@dataclass(frozen=True)
class Outcome:
    """What the demo has come to.

    Attributes:
        killmails: rows of the source.
        entities: rows of the cache.
        arrived: killmails that live sessions inserted while the backfill ran.
        cells: the cells of the cache that differ from the source: entity, type, column.
        problems: what else is wrong, in words.
    """

    killmails: int
    entities: int
    arrived: int
    cells: Sequence[tuple[int, str, str]]
    problems: Sequence[str]

    @property
    def good(self) -> bool:
        """Whether all is as it has to be."""
        return not self.cells and not self.problems

    def __str__(self) -> str:
        return f"demo: {self.killmails:,} killmails, {self.entities:,} entities, {len(self.cells):,} differing cells"


def demonstrate(
    site: Site,
    as_of: datetime,
    say: Say,
    *,
    writer: str = "postgres",
    enough: int = ENOUGH,
    corrupt: Callable[[], None] | None = None,
) -> Outcome:
    """Fill the cache under fire, age it by a day, verify it, read it.

    Args:
        site: where.
        as_of: the moment that is taken for now; the backfill is as of the day before.
        say: is told what happens.
        writer: role of the live sessions.
        enough: killmails that have to arrive while the backfill runs.
        corrupt: called before the verification, for a test that has to see it fail.

    Raises:
        Exception: of the site, or of the database.
    """
    yesterday = as_of - timedelta(days=1)
    with psycopg.connect(site.conninfo(), autocommit=True, options="-c TimeZone=UTC") as session:
        oldest = _one(session, """select min("killmailTime") as t from public.killmails""")["t"]
        with LiveKillmails(site.conninfo(user=writer), lag=datetime.now(UTC) - as_of, oldest=oldest) as live:
            say("Two sessions write killmails from now on")
            say(f"Backfill as of {yesterday:%Y-%m-%d %H:%M} UTC:")
            site.run(BACKFILL, {"as_of": yesterday.isoformat(), "full_verify": True}, say)
            built = _one(session, """select status, "startedAt", "readyAt" from entity_stats.status()""")
            say(f"Daily cleanup as of {as_of:%Y-%m-%d %H:%M} UTC, which ages the windows by a day:")
            site.run(CLEANUP, {"as_of": as_of.isoformat()}, say)

        problems = list(live.errors)
        commits = live.commits()
        say(
            f"The live sessions committed {len(commits):,} transactions: {live.landed():,} killmails inserted, "
            f"{sum(c.revalued for c in commits):,} revalued, {sum(c.deleted for c in commits):,} deleted; "
            f"the slowest took {max((c.seconds for c in commits), default=0) * 1000:,.0f} ms"
        )
        if built["status"] != "ready":
            problems.append(f"the cache is {built['status']} after the backfill")
        arrived = live.landed(since=built["startedAt"], until=built["readyAt"])
        say(f"{arrived:,} of them landed while the backfill ran")
        if arrived < enough:
            problems.append(f"only {arrived:,} killmails landed while the backfill ran: at least {enough:,} are needed")

        if corrupt:
            corrupt()
        outcome = verify(session, arrived, problems, say)
        read(session, say)
    for problem in problems:
        say(f"Wrong: {problem}")
    return outcome


def verify(session: psycopg.Connection[Any], arrived: int, problems: Sequence[str], say: Say) -> Outcome:
    """Compare each cell of the cache with the killmails."""
    pending = _one(session, "select pending from entity_stats.status()")["pending"]
    say(f"Facts that wait in the ledger: {pending:,}")
    session.execute("call entity_stats.fold_pending()")
    cells: dict[tuple[int, str, str], tuple[Any, ...]] = {}
    for name, query in (("differences()", DIFFERENCES), ("the oracle", ORACLE.read_text())):
        begun = time.monotonic()
        found = session.execute(query.encode()).fetchall()
        say(f"Verified by {name} in {time.monotonic() - begun:.1f} s: {len(found):,} differing cells")
        cells |= {row[:3]: row for row in found}
    if cells:
        shown = list(cells.values())[:SHOWN]
        say(tabulate(shown, headers=["entityId", "entityType", "column", "cached", "actual"], tablefmt="psql"))
    counts = _one(
        session,
        """
        select
            (select count(*) from public.killmails) as killmails,
            (select count(*) from public.entity_stats_cache) as entities
        """,
    )
    return Outcome(counts["killmails"], counts["entities"], arrived, list(cells), problems)


def read(session: psycopg.Connection[Any], say: Say) -> None:
    """Show the summary, and three sample reads: a leaderboard, an alliance, a character."""
    _show(session, "select * from get_stats_cache_summary()", [], say)
    top: LiteralString = "select * from get_top_entities_by_kills_from_cache(%s, %s, %s)"
    for winner in _show(session, top, ["alliance", "14d", 3], say)[:1]:
        _show(session, "select * from get_entity_stats(%s, %s, %s)", [winner["entityId"], "alliance", "30d"], say)
    for winner in _rows(session, top, ["character", "all", 1]):
        _show(session, "select * from get_character_stats_from_cache(%s, %s)", [winner["entityId"], "all"], say)


def _show(
    session: psycopg.Connection[Any], query: LiteralString, values: Sequence[Any], say: Say
) -> list[dict[str, Any]]:
    begun = time.monotonic()
    rows = _rows(session, query, values)
    took = (time.monotonic() - begun) * 1000
    say(f"{query % tuple(map(repr, values))};  -- {took:.1f} ms")
    if len(rows) == 1:
        say(_indented(tabulate(rows[0].items(), tablefmt="plain", disable_numparse=True)))
    else:
        say(_indented(tabulate(rows, headers="keys", tablefmt="plain", disable_numparse=True)))
    return rows


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _rows(session: psycopg.Connection[Any], query: LiteralString, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    with session.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def _one(session: psycopg.Connection[Any], query: LiteralString) -> dict[str, Any]:
    [row] = _rows(session, query)
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns its exit status."""
    parser = Arguments(
        prog="python -m demo.run",
        description="Fill the cache while killmails keep arriving, age it, and compare every cell with the killmails.",
        epilog="Exit status: 0 all cells exact, 1 not, 2 it could not be tried.",
    )
    Source.add_arguments(parser)
    source = Source.of(parser.parse_args(arguments))
    say = Printer()
    try:
        source.check()
        clear_away(say)
        with interruptible(), temporary_folder() as folder, World(folder) as world:
            world.start(source, say)
            outcome = demonstrate(world, source.as_of, say, writer=INGEST)
            say("Stopping PostgreSQL and Airflow")
    except KeyboardInterrupt:
        print("Interrupted: PostgreSQL and Airflow are stopped, their files deleted.", file=sys.stderr)
        return 130
    except ERRORS as error:
        print(error, file=sys.stderr)
        return 2
    print(outcome)
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
