"""Killmails that keep arriving: sessions that insert, revalue and delete them until they are told to stop.

    python -m local.live CONNINFO --lag SECONDS --pause SECONDS

writes until it is stopped by a signal, for the world of `make up`; the demo runs the same sessions in its own process.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg

INSERT: LiteralString = """
insert into public.killmails
select l.* from sample.live_killmails(%(rows)s, %(from_time)s, %(to_time)s) as l
"""

#: The killed strike back: somebody who is in the table already gets a killmail, or several, more.
REVENGE: LiteralString = """
insert into public.killmails (
    "killmailId", "killmailTime", "solarSystemId",
    "victimCharacterId", "victimCorporationId", "victimAllianceId", "victimShipTypeId",
    "topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId", "topAttackerShipTypeId",
    "totalValue", "attackerCount", npc, solo, awox
)
select
    l."killmailId", l."killmailTime", l."solarSystemId",
    k."topAttackerCharacterId", k."topAttackerCorporationId", k."topAttackerAllianceId", k."topAttackerShipTypeId",
    k."victimCharacterId", k."victimCorporationId", k."victimAllianceId", k."victimShipTypeId",
    l."totalValue", l."attackerCount", l.npc, l.solo, l.awox
from sample.live_killmails(%(rows)s, %(from_time)s, %(to_time)s) as l
cross join (
    select * from public.killmails where "killmailTime" >= %(moment)s order by "killmailTime" limit 1
) as k
"""

#: A price is looked up again.
REVALUE: LiteralString = """
update public.killmails
set "totalValue" = "totalValue" * 1.1
where ("killmailId", "killmailTime") in (
    select "killmailId", "killmailTime" from public.killmails
    where "killmailTime" >= %(moment)s order by "killmailTime" limit 1
)
"""

DELETE: LiteralString = """
delete from public.killmails
where ("killmailId", "killmailTime") in (
    select "killmailId", "killmailTime" from public.killmails
    where "killmailTime" >= %(moment)s order by "killmailTime" limit 1
)
"""

#: How many in a hundred transactions do what: one killmail, several statements of several killmails, and so on.
MIX = {"single": 58, "batch": 14, "revenge": 18, "revalue": 6, "delete": 4}


#: Seconds until a session that has lost its connection tries again.
RETRY = 1.0


@dataclass(frozen=True)
class Commit:
    """A transaction that committed."""

    at: datetime
    inserted: int
    revalued: int
    deleted: int
    #: From the first statement to the answer to COMMIT.
    seconds: float


class LiveKillmails(AbstractContextManager["LiveKillmails"]):
    """Sessions that write to public.killmails from `with` to its end, or `end`.

    Most killmails are of the last day; one transaction in ten brings late ones, up to a hundred days old, so that all
    windows get some. A session that meets an error ends; `errors` has it then. With `interrupted`, one that has lost
    its connection comes back when the database does.

    Args:
        conninfo: libpq connection string of a role that may write killmails.
        lag: what to take for now is so long ago.
        oldest: no killmail is earlier.
        sessions: how many write at the same time.
        pause: seconds between the transactions of a session, on average.
        interrupted: is told of each connection that is lost, or cannot be made.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        lag: timedelta,
        oldest: datetime,
        sessions: int = 2,
        pause: float = 0.02,
        interrupted: Callable[[str], None] | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._lag = lag
        self._oldest = min(oldest, datetime.now(UTC) - lag - timedelta(hours=1))
        self._pause = pause
        self._interrupted = interrupted
        self._end = threading.Event()
        self._commits: list[Commit] = []
        self._threads = [
            threading.Thread(target=self._write, args=(number,), daemon=True) for number in range(1, sessions + 1)
        ]
        self.errors: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self.wait()

    def end(self) -> None:
        """Ask the sessions to end after the transactions that they are in."""
        self._end.set()

    def wait(self) -> None:
        """Wait until all sessions have ended."""
        for thread in self._threads:
            thread.join()

    def commits(self, since: datetime | None = None, until: datetime | None = None) -> Sequence[Commit]:
        """What has been committed between two moments, in the order in which the sessions heard of it."""
        return [
            commit
            for commit in list(self._commits)
            if (since is None or commit.at >= since) and (until is None or commit.at <= until)
        ]

    def landed(self, since: datetime | None = None, until: datetime | None = None) -> int:
        """How many killmails have been inserted between two moments."""
        return sum(commit.inserted for commit in self.commits(since, until))

    def _write(self, number: int) -> None:
        chance = random.Random(number)
        while not self._end.is_set():
            try:
                self._session(number, chance)
            except psycopg.OperationalError as error:
                if not self._interrupted:
                    self.errors.append(f"live session {number}: {error}")
                    return
                self._interrupted(f"live session {number}: {error}")
                self._end.wait(RETRY)
            except psycopg.Error as error:
                self.errors.append(f"live session {number}: {error}")
                return

    def _session(self, number: int, chance: random.Random) -> None:
        with psycopg.connect(self._conninfo, autocommit=True, application_name=f"live {number}") as connection:
            while not self._end.is_set():
                self._commits.append(self._transaction(connection, chance))
                self._end.wait(chance.uniform(0, 2 * self._pause))

    def _transaction(self, connection: psycopg.Connection[Any], chance: random.Random) -> Commit:
        kind = chance.choices(list(MIX), weights=list(MIX.values()))[0]
        begun = time.monotonic()
        inserted = revalued = deleted = 0
        with connection.transaction():
            for statement, rows in _statements(kind, chance):
                done = connection.execute(statement, {"rows": rows, **self._moments(chance)}).rowcount
                if statement == REVALUE:
                    revalued += done
                elif statement == DELETE:
                    deleted += done
                else:
                    inserted += done
        return Commit(datetime.now(UTC), inserted, revalued, deleted, time.monotonic() - begun)

    def _moments(self, chance: random.Random) -> dict[str, Any]:
        now = datetime.now(UTC) - self._lag
        late = timedelta(days=100) if chance.random() < 0.1 else timedelta(days=1)
        return {
            "from_time": max(self._oldest, now - late),
            "to_time": now,
            "moment": self._oldest + chance.random() * (now - self._oldest),
        }


def _statements(kind: str, chance: random.Random) -> Iterator[tuple[LiteralString, int]]:
    """The statements of a transaction, and how many killmails each inserts."""
    match kind:
        case "single":
            yield INSERT, 1
        case "batch":
            for _ in range(chance.randint(1, 3)):
                yield INSERT, chance.randint(2, 10)
        case "revenge":
            yield REVENGE, chance.randint(1, 3)
        case "revalue":
            yield REVALUE, 0
        case "delete":
            yield DELETE, 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Write until a signal comes; returns the exit status: 0, or 1 when the sessions have met errors."""
    parser = argparse.ArgumentParser(prog="python -m local.live", description="Keep writing killmails.")
    parser.add_argument("conninfo", help="libpq connection string of a role that may write killmails")
    parser.add_argument("--lag", type=float, default=0, metavar="SECONDS", help="what to take for now is so long ago")
    parser.add_argument("--pause", type=float, default=0.02, metavar="SECONDS", help="between a session's transactions")
    options = parser.parse_args(arguments)
    lag = timedelta(seconds=options.lag)
    oldest = datetime.now(UTC) - lag - timedelta(days=100)
    live = LiveKillmails(
        options.conninfo,
        lag=lag,
        oldest=oldest,
        pause=options.pause,
        interrupted=lambda error: print(f"{error.strip()} (trying again)", file=sys.stderr, flush=True),
    )
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: live.end())
    with live:
        live.wait()
    for error in live.errors:
        print(error, file=sys.stderr)
    return 1 if live.errors else 0


if __name__ == "__main__":
    sys.exit(main())
