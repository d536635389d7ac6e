"""Whatever happens to killmails, in whatever order: the cache plus what is pending is the truth at every step."""

from __future__ import annotations

import datetime as dt
import os
from contextlib import ExitStack
from typing import Any, LiteralString

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.fixtures.database import WRITER
from tests.fixtures.worlds import Worlds, assert_history, drift, fold_pending, pending
from tests.fixtures.writers import LEVELS

#: Two transactions may be open at once, from one thread: what would wait for the other fails instead of hanging.
NEVER_HANG = "-c lock_timeout=10s -c statement_timeout=60s"

#: Each transaction changes killmails of its own only, so that the two never fail one another.
MINE: LiteralString = """
    "killmailId" in (
        select k."killmailId" from public.killmails as k
        where k."killmailId" %% 2 = %(owner)s
        order by hashint8extended(k."killmailId", %(draw)s) limit %(rows)s
    )
"""

#: At most two facts for each of `rows` killmails. `moment` is a cutoff, or a microsecond before or after it.
WRITES: dict[str, LiteralString] = {
    "insert": """
        insert into public.killmails
        select k.* from test.killmails(
            2 * %(rows)s, %(seed)s, %(draw)s %% 300 * interval '1 day', (%(draw)s %% 300 + %(draw)s %% 70) * interval '1 day'
        ) as k
        where k."killmailId" %% 2 = %(owner)s
    """,
    "insert at a cutoff": """
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerAllianceId", "totalValue")
        select 1000000 * %(seed)s + 2 * n + %(owner)s, %(moment)s, 1 + %(draw)s %% 12, 1 + n %% 3, n / 8.0
        from generate_series(1, %(rows)s) as n
    """,
    "insert into a leaf": """
        insert into public.killmails_new_1 ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", npc, "totalValue")
        select k."killmailId", k."killmailTime", k."victimCharacterId", k."topAttackerCharacterId", k.npc, k."totalValue"
        from test.killmails(2 * %(rows)s, %(seed)s) as k
        where k."killmailId" %% 2 = %(owner)s and satisfies_hash_partition('public.killmails_new'::regclass, 2, 1, k."killmailId")
    """,
    "insert again": """
        insert into public.killmails select k.* from public.killmails as k where
    """
    + MINE
    + """on conflict ("killmailId", "killmailTime") do update set "totalValue" = 1 + %(draw)s %% 100, solo = excluded.npc""",
    "value": """update public.killmails set "totalValue" = %(draw)s / 1000.0 where""" + MINE,
    "no value": """update public.killmails set "totalValue" = 'NaN' where""" + MINE,
    "flags": "update public.killmails set solo = npc, npc = not solo where" + MINE,
    "parties": """
        update public.killmails
        set "victimCharacterId" = "topAttackerCharacterId", "topAttackerCharacterId" = "victimCharacterId",
            "victimAllianceId" = %(draw)s %% 4, "topAttackerCorporationId" = null
        where
    """
    + MINE,
    "earlier": """
        update public.killmails set "killmailTime" = "killmailTime" - (%(draw)s %% 90) * interval '1 day' where
    """
    + MINE,
    "to a cutoff": """update public.killmails set "killmailTime" = %(moment)s where""" + MINE,
    "to another partition": """
        update public.killmails
        set "killmailTime" = case
            when "killmailTime" < '2020-01-01 00:00:00+00' then now() - (%(draw)s %% 300) * interval '1 day'
            else '2019-06-01 00:00:00+00'
        end
        where
    """
    + MINE,
    "delete": "delete from public.killmails where" + MINE,
    "delete newest": """
        delete from public.killmails where "killmailId" in (
            select k."killmailId" from public.killmails as k
            where k."killmailId" %% 2 = %(owner)s
            order by k."killmailTime" desc limit %(rows)s
        )
    """,
    "delete from a leaf": "delete from public.killmails_new_0 where" + MINE,
}

writes = st.tuples(st.sampled_from(list(WRITES)), st.integers(0, 2**40), st.integers(1, 20))
periods = st.sampled_from(["90d", "30d", "14d"])
days_ago = st.integers(0, 210)
types = st.sampled_from(["character", "corporation", "alliance"])


class Site(RuleBasedStateMachine):
    """A cache that was filled 210 days ago, and what may happen to it since.

    Attributes:
        other: Level of the transaction that is open beside the others, if one is.
        rebuilding: Whether a rebuild has begun and not finished.
    """

    def __init__(self, worlds: Worlds) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.site = self._stack.enter_context(worlds.past("sub-partitioned"))
        self.writer, self.second = (
            self._stack.enter_context(self.site.connect(user=WRITER, options=NEVER_HANG)) for _ in range(2)
        )
        self.operator = self._stack.enter_context(self.site.connect(options=NEVER_HANG))
        self.other: str | None = None
        self.rebuilding = False
        self.seed = 1

    def _write(self, session: psycopg.Connection[Any], write: tuple[str, int, int], owner: int) -> None:
        kind, draw, rows = write
        self.seed += 1
        cutoffs = self.site.fetch("select w.cutoff from entity_stats.time_window as w where w.days is not null")
        moment = cutoffs[draw % 3][0] + dt.timedelta(microseconds=draw // 3 % 3 - 1)
        parameters = {"draw": draw, "rows": rows, "owner": owner, "moment": moment, "seed": self.seed}
        session.execute(WRITES[kind], parameters)

    @rule(
        level=st.sampled_from(LEVELS),
        deferred=st.sampled_from([False, False, True]),
        immediate=st.booleans(),
        steps=st.lists(st.tuples(writes, st.booleans()), min_size=1, max_size=4),
    )
    def transaction(
        self, level: str, deferred: bool, immediate: bool, steps: list[tuple[tuple[str, int, int], bool]]
    ) -> None:
        """Several statements, some of them rolled back to a savepoint."""
        before = pending(self.site)
        self.writer.execute(f"begin isolation level {level}".encode())
        xid = self.writer.execute("select pg_current_xact_id()").fetchall()[0][0]
        if deferred:
            self.writer.execute("set local entity_stats.fold = 'deferred'")
        if immediate:
            self.writer.execute("set constraints all immediate")
        for write, lost in steps:
            self.writer.execute("savepoint s")
            self._write(self.writer, write, 0)
            self.writer.execute("rollback to savepoint s" if lost else "release savepoint s")
        self.writer.execute("commit")
        if level == "read committed" and not deferred:
            left = self.site.fetch(
                "select distinct l.reason from entity_stats.ledger as l where l.xid = %s and not l.folded", [xid]
            )
            assert left in ([], [("earlier killmails are pending",)] if before else []), (
                "it has left something of its own"
            )

    @rule(write=writes, commit=st.booleans())
    def statement(self, write: tuple[str, int, int], commit: bool) -> None:
        """One statement, or one that is rolled back."""
        self.writer.execute("begin")
        self._write(self.writer, write, 0)
        self.writer.execute("commit" if commit else "rollback")

    @precondition(lambda self: not self.other)
    @rule(level=st.sampled_from(["read committed", "repeatable read"]), write=writes)
    def other_begins(self, level: str, write: tuple[str, int, int]) -> None:
        """A transaction that stays open during whatever comes next."""
        self.second.execute(f"begin isolation level {level}".encode())
        self._write(self.second, write, 1)
        self.other = level

    @precondition(lambda self: self.other)
    @rule(write=writes)
    def other_writes(self, write: tuple[str, int, int]) -> None:
        """It goes on."""
        self._write(self.second, write, 1)

    @precondition(lambda self: self.other)
    @rule(commit=st.sampled_from([True, True, False]))
    def other_ends(self, commit: bool) -> None:
        """It is committed, mostly."""
        self.second.execute("commit" if commit else "rollback")
        self.other = None

    @rule()
    def fold(self) -> None:
        """All that has been committed is folded."""
        self.operator.execute("call entity_stats.fold_pending()")
        assert pending(self.site) == 0

    @precondition(lambda self: not self.rebuilding)
    @rule(days=days_ago)
    def age(self, days: int) -> None:
        """All windows; an earlier time than that of the last ageing changes nothing."""
        self.operator.execute("call entity_stats.age_windows(now() - %s * interval '1 day')", [days])

    @precondition(lambda self: not self.rebuilding)
    @rule(period=periods, draw=st.integers(0, 2**40), microseconds=st.integers(-1, 1))
    def age_onto_a_killmail(self, period: str, draw: int, microseconds: int) -> None:
        """One window, to the time of a killmail in it, or a microsecond beside that."""
        as_of = self.site.value(
            """
            select max(least(n.time + %s * interval '1 microsecond' + n.days * interval '24 hours', now()))
            from (
                select k."killmailTime" as time, w.days
                from public.killmails as k
                inner join entity_stats.time_window as w on w.period = %s and k."killmailTime" > w.cutoff
                order by hashint8extended(k."killmailId", %s) limit 1
            ) as n
            """,
            [microseconds, period, draw],
        )
        if as_of:
            self.operator.execute("call entity_stats.age_window(%s, %s)", [period, as_of])

    @rule(days=days_ago)
    def close_days(self, days: int) -> None:
        """The history is filled, or goes on; an earlier time than that of the last changes nothing."""
        self.operator.execute("call entity_stats.fill_history(now() - %s * interval '1 day')", [days])

    @rule(days=days_ago)
    def close_days_half(self, days: int) -> None:
        """The first step of closing, and perhaps some of the next: what comes then is late or not closed."""
        self.operator.execute("update entity_stats.history set wanted = true")
        for step in ("make_room", "open_late"):
            self.operator.execute(
                f"select entity_stats.{step}(((now() - %s * interval '1 day') at time zone 'UTC')::date)", [days]
            )
        for _ in range(days % 3):
            self.operator.execute("select entity_stats.close_range()")

    @rule(draw=st.integers(0, 2**40))
    def recount_a_month(self, draw: int) -> None:
        """A month of the history that was right stays as it was."""
        self.operator.execute(
            """
            select entity_stats.recount_month(m.month)
            from (select h.month from entity_stats.month as h order by hashint8extended(h.month - '2000-01-01'::date, %s) limit 1) as m
            """,
            [draw],
        )

    @precondition(lambda self: not self.other)
    @rule()
    def forget(self) -> None:
        """No history is kept any more."""
        self.operator.execute("call entity_stats.drop_history()")

    @rule(kind=types, entity=st.integers(1, 12), granularity=st.sampled_from(["day", "month"]))
    def read_history(self, kind: str, entity: int, granularity: str) -> None:
        """An entity's history says what killmails say."""
        read = "select * from public.get_entity_history{}(%s, %s, %s)"
        assert self.site.fetch(read.replace("{}", ""), [entity, kind, granularity]) == self.site.fetch(
            read.replace("{}", "_from_view"), [entity, kind, granularity]
        )

    @rule(kind=types, entity=st.integers(1, 12))
    def recalculate(self, kind: str, entity: int) -> None:
        """One entity: there is nothing to correct."""
        assert self.operator.execute("select * from entity_stats.recalculate(%s, %s)", [entity, kind]).fetchall() == []

    @precondition(lambda self: not self.other and not self.rebuilding)
    @rule()
    def truncate_a_partition(self) -> None:
        """Killmails of long ago go at once."""
        self.writer.execute("truncate public.killmails_old")

    @precondition(lambda self: not self.rebuilding)
    @rule(days=days_ago)
    def rebuild_begins(self, days: int) -> None:
        """The cache is built anew while it serves; windows may move back."""
        self.operator.execute(
            "call entity_stats.backfill_begin(now() - %s * interval '1 day', rebuild => true)", [days]
        )
        self.rebuilding = True

    @precondition(lambda self: self.rebuilding)
    @rule(period=st.sampled_from(["all", "90d", "30d", "14d"]), kind=types)
    def rebuild_goes_on(self, period: str, kind: str) -> None:
        """One phase of it, in any order, perhaps again."""
        self.operator.execute("call entity_stats.backfill_phase(%s, %s)", [period, kind])

    @precondition(lambda self: self.rebuilding)
    @rule()
    def rebuild_ends(self) -> None:
        """What is left of it."""
        self.operator.execute("call entity_stats.backfill(rebuild => true)")
        self.rebuilding = False

    @invariant()
    def exact(self) -> None:
        """The cache plus what is pending is the truth."""
        assert self.site.value("select public.is_stats_cache_populated()")
        assert self.site.fetch("select * from entity_stats.differences()") == []
        assert drift(self.site) == []

    def teardown(self) -> None:
        """Once all has ended and is folded, the cache alone is the truth."""
        try:
            if self.other:
                self.other_ends(commit=True)
            if self.rebuilding:
                self.rebuild_ends()
            fold_pending(self.site)
            assert pending(self.site) == 0
            assert self.site.oracle() == []
            assert_history(self.site)
        finally:
            self._stack.close()


#: `EXAMPLES=150` looks for more, at random.
EXAMPLES = int(os.environ.get("EXAMPLES", "0"))


def test_any_history(worlds: Worlds) -> None:
    """Histories that hypothesis thinks up; one that breaks the invariant is reduced to the steps that it takes."""
    run_state_machine_as_test(
        lambda: Site(worlds),  # type: ignore[arg-type]  # a factory will do
        settings=settings(
            max_examples=EXAMPLES or 25,
            stateful_step_count=15,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            print_blob=bool(EXAMPLES),
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
