"""A storm: sessions that change killmails in every way, each only its own, so that they never fail one another."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg

from tests.database import WRITER, Database
from tests.invariants.world import PATIENCE

LEVELS = ("read committed", "repeatable read", "serializable")

MINE: LiteralString = """
select k."killmailId" from public.killmails as k
where k."killmailId" / 1000000 %% %(writers)s = %(me)s
order by hashint8extended(k."killmailId", %(draw)s) limit %(rows)s
"""

WRITES: dict[str, LiteralString] = {
    "insert": "insert into public.killmails select * from test.killmails(%(rows)s, %(seed)s)",
    "insert old": "insert into public.killmails select * from test.killmails(%(rows)s, %(seed)s, '80 days', '100 days')",
    "insert again": """
        insert into public.killmails select * from test.killmails(%(rows)s, %(seed)s)
        on conflict ("killmailId", "killmailTime") do update set "totalValue" = 1
    """,
    "value": 'update public.killmails set "totalValue" = %(draw)s / 1000.0 where "killmailId" in (' + MINE + ")",
    "move": """
        update public.killmails set "killmailTime" = "killmailTime" - (%(draw)s %% 60) * interval '1 day'
        where "killmailId" in (
    """
    + MINE
    + ")",
    "parties": """
        update public.killmails
        set "victimCharacterId" = "topAttackerCharacterId", "topAttackerAllianceId" = "victimAllianceId", solo = npc
        where "killmailId" in (
    """
    + MINE
    + ")",
    "delete": 'delete from public.killmails where "killmailId" in (' + MINE + ")",
    "delete newest": """
        delete from public.killmails where "killmailId" in (
            select k."killmailId" from public.killmails as k
            where k."killmailId" / 1000000 %% %(writers)s = %(me)s
            order by k."killmailTime" desc limit %(rows)s
        )
    """,
}


#: Seconds between the transactions of a writer, at most: what is tested has to get ahead on a slow machine, too.
PAUSE = 0.1


class Storm:
    """Writers that go on until they are told to stop.

    Args:
        database: Where; a world of tests.invariants.world.
        writers: How many sessions. The killmails of the world itself belong to writer 1.
        levels: Isolation levels of their transactions.
        deferred: Whether some of their transactions leave their facts to others.
        seed: Of what they draw.

    Attributes:
        committed: Transactions committed so far.
    """

    def __init__(
        self,
        database: Database,
        *,
        writers: int = 4,
        levels: Sequence[str] = ("read committed",),
        deferred: bool = False,
        seed: int = 1,
    ) -> None:
        self.database = database
        self.writers = writers
        self.levels = tuple(levels)
        self.deferred = deferred
        self.seed = seed
        self.committed = 0
        self._errors: list[BaseException] = []
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._threads = [threading.Thread(target=self._run, args=[n], daemon=True) for n in range(writers)]

    def __enter__(self) -> Self:
        """Start, and wait for the first gusts."""
        for thread in self._threads:
            thread.start()
        self.blow(self.writers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; raise what a writer has met, unless the test has failed already."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        if self._errors and error is None:
            raise self._errors[0]

    def blow(self, transactions: int) -> None:
        """Wait until so many more transactions have been committed.

        Raises:
            AssertionError: a writer failed, or they did not come that far within PATIENCE.
        """
        with self._news:
            target = self.committed + transactions
            self._news.wait_for(lambda: self._errors or self.committed >= target, PATIENCE)
            assert not self._errors, self._errors
            assert self.committed >= target, f"{self.committed} of {target} transactions in {PATIENCE} s"

    def _run(self, me: int) -> None:
        draw = random.Random(1000 * self.seed + me)
        try:
            with self.database.connect(user=WRITER) as session:
                seed = 100 * self.writers + me
                while not self._stop.is_set():
                    seed += self.writers
                    if self._transaction(session, draw, me, seed):
                        with self._news:
                            self.committed += 1
                            self._news.notify_all()
                    self._stop.wait(draw.uniform(0, PAUSE))
        except BaseException as error:
            with self._news:
                self._errors.append(error)
                self._news.notify_all()

    def _transaction(self, session: psycopg.Connection[Any], draw: random.Random, me: int, seed: int) -> bool:
        """One transaction; false when the server asked for another try, as it may above READ COMMITTED."""
        level = draw.choice(self.levels)
        session.execute(f"begin isolation level {level}".encode())
        try:
            if self.deferred and draw.random() < 0.3:
                session.execute("set local entity_stats.fold = 'deferred'")
            for _ in range(draw.randint(1, 3)):
                # What comes after a savepoint that is rolled back has killmail ids that were tried before.
                lost = draw.random() < 0.2
                if lost:
                    session.execute("savepoint s")
                    self._write(session, draw, me, seed)
                    session.execute("rollback to savepoint s")
                else:
                    self._write(session, draw, me, seed)
            session.execute("commit")
        except psycopg.errors.SerializationFailure:
            session.execute("rollback")
            if level == "read committed":
                raise
            return False
        return True

    def _write(self, session: psycopg.Connection[Any], draw: random.Random, me: int, seed: int) -> None:
        kind = draw.choice(["insert", "insert", "insert again", *WRITES])
        if kind.startswith("insert") and kind != "insert again":
            kind, seed = kind, seed + 1_000_000 * self.writers * draw.randint(1, 100_000)
        parameters = {
            "rows": draw.randint(1, 6),
            "seed": seed,
            "writers": self.writers,
            "me": me,
            "draw": draw.randint(0, 2**40),
        }
        session.execute(WRITES[kind], parameters)
