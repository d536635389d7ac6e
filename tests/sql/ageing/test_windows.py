"""Ageing: windows move on to the killmail, whatever comes and goes meanwhile, and never back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.fixtures.database import SQL, WRITER, Database
from tests.fixtures.worlds import Worlds, assert_exact, deadlocks, killed, pending, until, until_blocked
from tests.fixtures.writers import LEVELS, Writers

SHAPES = pytest.mark.parametrize("shape", ["partitioned", "plain", "sub-partitioned"], indirect=True)

#: One killmail at a time after a window's cutoff: its id, the window, how long after, victim and attacker.
KILL = """
insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
select %s, w.cutoff + %s::interval, %s, %s, 100 from test.cutoff as w where w.period = %s
"""

CUTOFF = "select w.cutoff from entity_stats.time_window as w where w.period = %s"


@pytest.fixture
def shape(request: pytest.FixtureRequest) -> str:
    """Few partitions, unless a test is parametrised: plans over forty take their time."""
    return str(getattr(request, "param", "sub-partitioned"))


@pytest.fixture
def past(worlds: Worlds, shape: str) -> Iterator[Database]:
    """A world whose cache was filled 210 days ago."""
    with worlds.past(shape) as database:
        yield database


def age(database: Database, days_ago: float) -> None:
    """Age all windows to a moment in the past, in a session of its own."""
    with database.connect() as session:
        session.execute("call entity_stats.age_windows(as_of => now() - %s * interval '24 hours')", [days_ago])


def counts(database: Database, entity: int) -> tuple[int, ...]:
    """Kills of a character in each period; zeros without a row."""
    rows = database.fetch(
        'select "killsAll", "kills90d", "kills30d", "kills14d" from public.entity_stats_cache'
        """ where "entityId" = %s and "entityType" = 'character'""",
        [entity],
    )
    return rows[0] if rows else (0, 0, 0, 0)


@SHAPES
def test_uneven_steps(past: Database) -> None:
    """1, 14, 20, 90 and 200 days on, with killmails that come in time and late, change and go between: exact at each stop."""
    past.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
        values (1, now() - interval '211 days', 701, 700, 5)
        """
    )
    assert counts(past, 700) == (1, 1, 1, 1)
    with past.connect(user=WRITER) as writer:
        for number, gone in enumerate([1, 14, 20, 90, 200]):
            age(past, 210 - gone)
            assert past.fetch("select * from entity_stats.differences()") == []
            assert past.oracle() == []
            writer.execute(
                "insert into public.killmails select * from test.killmails(60, %s, %s, %s)",
                [number + 2, f"{210 - gone} days", f"{240 - gone} days"],
            )
            writer.execute(
                "insert into public.killmails select * from test.killmails(60, %s, %s, %s)",
                [number + 12, f"{215 - gone} days", f"{350 - gone} days"],
            )
            for change in (
                """update public.killmails set "totalValue" = 7.125 where "killmailId" %% 5 = %s""",
                """update public.killmails set "killmailTime" = "killmailTime" - interval '13 days' where "killmailId" %% 7 = %s""",
                """delete from public.killmails where "killmailId" %% 11 = %s and "killmailId" > 1""",
            ):
                writer.execute(change.encode(), [number])
            assert pending(past) == 0
            assert past.fetch("select * from entity_stats.differences()") == []
            assert past.oracle() == []
    age(past, 0)
    assert counts(past, 700) == (1, 0, 0, 0)
    assert_exact(past)


@pytest.mark.parametrize(
    "statement", ["call entity_stats.age_windows()", "call entity_stats.backfill_begin(rebuild => true)"]
)
def test_pending_before_the_steps(past: Database, statement: str) -> None:
    """What is pending is folded first: each step of a window reads all of it."""
    with past.connect(user=WRITER) as writer:
        writer.execute("insert into public.killmails select * from test.killmails(600, 2)")
    assert pending(past) == 600
    past.execute(statement)
    assert pending(past) == 0
    assert past.fetch("select * from entity_stats.differences()") == []
    assert past.oracle() == []


@pytest.mark.parametrize("period", ["90d", "30d", "14d"])
def test_one_window_alone(past: Database, period: str) -> None:
    """A window that was aged far beyond the shorter ones: killmails count in each by its own cutoff, a few or many."""
    past.execute("call entity_stats.age_window(%s, now())", [period])
    for draw, killmails in enumerate([1, 40]):
        past.execute(
            """
            insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
            select 7000 + 100 * %(draw)s + n, now() - 320 * n * interval '1 day' / %(killmails)s, 700, 701, n
            from generate_series(0, %(killmails)s - 1) as n
            """,
            {"draw": draw, "killmails": killmails},
        )
        past.execute(
            """
            insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
            select 8000 + %s, now() - interval '100 days', 701, 700, 3
            """,
            [draw],
        )
    assert pending(past) == 0
    assert past.fetch("select * from entity_stats.differences()") == []
    assert past.oracle() == []


def test_on_the_cutoff(ready: Database) -> None:
    """A killmail exactly on a cutoff is in the window, one a microsecond before is not: on arrival and by ageing."""
    for number, (period, at) in enumerate([("14d", 1), ("30d", 2), ("90d", 3)]):
        ready.execute(KILL, [10 * number + 1, "0", 700 + at, 800 + at, period])
        ready.execute(KILL, [10 * number + 2, "-1 microsecond", 710 + at, 810 + at, period])
    assert [counts(ready, n) for n in (801, 802, 803)] == [(1, 1, 1, 1), (1, 1, 1, 0), (1, 1, 0, 0)]
    assert [counts(ready, n) for n in (811, 812, 813)] == [(1, 1, 1, 0), (1, 1, 0, 0), (1, 0, 0, 0)]
    assert_exact(ready)

    # Between the cutoffs of now and those of a moment ago.
    ready.execute(KILL, [91, "1 millisecond", 721, 821, "14d"])
    ready.execute(KILL, [92, "1.001 milliseconds", 722, 822, "14d"])
    ready.execute(KILL, [93, "0.999 milliseconds", 723, 823, "14d"])
    as_of = ready.value(
        "select w.cutoff + interval '336 hours 1 millisecond' from test.cutoff as w where w.period = '14d'"
    )
    ready.execute("call entity_stats.age_window('14d', %s)", [as_of])
    assert [counts(ready, n) for n in (821, 822, 823)] == [(1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 0)]
    assert_exact(ready)


def test_many_of_one_time(ready: Database) -> None:
    """More killmails of one microsecond than a step takes leave together."""
    ready.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
        select n, w.cutoff, n % 3 + 700, n % 5 + 800, n
        from test.cutoff as w cross join generate_series(1, 1200) as n
        where w.period = '30d'
        """
    )
    with ready.connect() as session:
        session.execute("call entity_stats.fold_pending()")
        as_of = ready.value(
            "select w.cutoff + interval '720 hours 1 millisecond' from test.cutoff as w where w.period = '30d'"
        )
        session.execute("call entity_stats.age_window('30d', %s)", [as_of])
    assert (
        ready.value('select sum("kills30d") from public.entity_stats_cache where "entityId" between 800 and 804') == 0
    )
    assert_exact(ready)


def test_never_back_never_into_the_future(ready: Database) -> None:
    """An earlier as_of changes nothing, a later one than now is refused: a typo must not empty the windows."""
    cutoffs = ready.fetch("select w::text from entity_stats.time_window as w order by w.bit")
    age(ready, 3)
    age(ready, 4000)
    assert ready.fetch("select w::text from entity_stats.time_window as w order by w.bit") == cutoffs
    for call in ("age_windows(", "age_window('14d', ", "recalculate_active("):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="lies in the future") as error:
            ready.execute(f"call entity_stats.{call}now() + interval '1 minute')")
        assert error.value.diag.message_hint
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="unknown window: 15d"):
        ready.execute("call entity_stats.age_window('15d')")
    assert ready.fetch("select w::text from entity_stats.time_window as w order by w.bit") == cutoffs
    assert_exact(ready)


def test_not_ready(source: Database) -> None:
    """Nothing is aged before there is a cache, while a backfill runs, and after a TRUNCATE: a state for the caller to skip on."""
    source.load(SQL / "deploy.sql")
    for prepare in (
        "select 1",
        "call entity_stats.backfill_begin()",
        "call entity_stats.backfill()",
        "truncate public.killmails",
    ):
        source.execute(prepare)
        if "backfill()" not in prepare:
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="the cache is not ready") as error:
                source.execute("call entity_stats.age_windows()")
            assert "backfill" in str(error.value.diag.message_hint)


def test_read_committed_only(past: Database) -> None:
    with past.connect(options="-c default_transaction_isolation=serializable") as session:
        with pytest.raises(psycopg.errors.InvalidTransactionState):
            session.execute("call entity_stats.age_windows()")
        with pytest.raises(psycopg.errors.InvalidTransactionState):
            session.execute("select entity_stats.move_window('14d', now())")
    assert_exact(past)


def test_says_what_it_does(past: Database) -> None:
    """One line per window: how many killmails left, where it begins now."""
    left = past.value(
        """
        select count(*) from public.killmails
        where "killmailTime" >= (select w.cutoff from test.cutoff as w where w.period = '14d')
            and "killmailTime" < now() - 100 * interval '24 hours' - 14 * interval '24 hours'
        """
    )
    said = past.psql("-qc", "call entity_stats.age_windows(now() - 100 * interval '24 hours')").stderr
    assert f"Aged {left} killmails out of 14d, which begins at" in said
    assert "out of 30d" in said
    assert "out of 90d" in said
    assert "begins at" in past.psql("-qc", "call entity_stats.age_windows(now() - 100 * interval '24 hours')").stderr
    assert_exact(past)


def test_dies_and_resumes(past: Database) -> None:
    """A run that dies between two steps, or within one, leaves an exact cache; the next run catches up."""
    past.execute("insert into public.killmails select * from test.killmails(1500, 2, '215 days', '225 days')")
    with past.connect() as session:
        session.execute("call entity_stats.fold_pending()")
    with killed(past) as session:
        target = past.value("select now() - 14 * interval '24 hours'")
        session.execute("select entity_stats.move_window('14d', %s)", [target])
        between = past.value(CUTOFF, ["14d"])
        session.execute("begin")
        session.execute("select entity_stats.move_window('14d', %s)", [target])
    assert past.value(CUTOFF, ["14d"]) == between < target
    assert_exact(past)
    age(past, 0)
    assert past.value(CUTOFF, ["14d"]) >= target
    assert_exact(past)


def test_two_at_once(past: Database) -> None:
    """A manual run beside the daily one: together they do what one does."""
    past.execute("insert into public.killmails select * from test.killmails(3000, 2, '100 days', '225 days')")
    with past.connect() as session:
        session.execute("call entity_stats.fold_pending()")
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(age, past, days) for days in (120, 90, 60)]
        for run in runs:
            run.result()
    assert past.value(
        "select cutoff >= now() - 61 * interval '24 hours' - 14 * interval '24 hours' from entity_stats.time_window where days = 14"
    )
    assert_exact(past)


@SHAPES
def test_amid_writers(past: Database) -> None:
    """Windows move on amid writers of all isolation levels, late killmails and pending facts."""
    with Writers(past, levels=LEVELS, deferred=True) as writers:
        for days in (200, 150, 100, 95, 30, 10, 0):
            writers.wait_for(6)
            age(past, days)
    assert_exact(past)
    assert deadlocks(past) == 0


CHANGES = {
    "insert": "insert into public.killmails select * from test.killmails(80, 2, '214 days', '310 days')",
    "delete": """delete from public.killmails where "killmailTime" < now() - interval '209 days'""",
    "move in": """update public.killmails set "killmailTime" = "killmailTime" + interval '11 days' where "killmailId" % 3 = 0""",
    "move out": """update public.killmails set "killmailTime" = "killmailTime" - interval '11 days' where "killmailId" % 3 = 0""",
    "value": """update public.killmails set "totalValue" = 77.125""",
}


def test_a_deletion_overtakes_an_arrival(past: Database) -> None:
    """It waits behind it: meanwhile the windows age, and no count is ever less than nothing."""
    attacker = 777777
    with past.connect(user=WRITER) as writer:
        writer.execute("set entity_stats.fold = 'deferred'")
        writer.execute(KILL, [1, "-1 day", 600, attacker, "90d"])
        writer.execute("reset entity_stats.fold")
        for number in range(10):
            writer.execute(KILL, [2 + number, "20 days" if number else "1 hour", 600, attacker, "90d"])
        writer.execute('delete from public.killmails where "killmailId" = 1')
        assert counts(past, attacker)[:2] == (10, 10)
        age(past, 209)
        assert counts(past, attacker)[:2] == (10, 9)
    assert_exact(past)
    assert counts(past, attacker)[:2] == (10, 9)


@pytest.mark.parametrize("change", list(CHANGES))
@pytest.mark.parametrize("level", [*LEVELS, "deferred"])
def test_straddling_transactions(past: Database, level: str, change: str) -> None:
    """A transaction that began under the old cutoffs and commits under the new ones, in each isolation level."""
    past.execute("insert into public.killmails select * from test.killmails(100, 3, '205 days', '330 days')")
    with past.connect(user=WRITER) as writer:
        writer.execute(f"begin isolation level {level if level in LEVELS else LEVELS[0]}".encode())
        if level == "deferred":
            writer.execute("set local entity_stats.fold = 'deferred'")
        # The snapshot of this transaction, where it keeps one, has the old cutoffs.
        before = writer.execute("select count(*) from public.killmails").fetchall()
        age(past, 205)
        writer.execute(CHANGES[change].encode())
        age(past, 200)
        assert past.fetch("select * from entity_stats.differences()") == []
        writer.execute("commit")
    assert before
    facts = pending(past)
    assert facts == 0 if level == "read committed" else facts > 0
    assert past.fetch("select * from entity_stats.differences()") == []
    # What is pending is aged over before it is folded.
    age(past, 195)
    assert past.fetch("select * from entity_stats.differences()") == []
    assert_exact(past)


def test_waits_for_folds_and_they_for_it(past: Database) -> None:
    """A step waits for the folds under way; folds that come wait for the step, and use its cutoff."""
    with (
        past.connect(autocommit=False) as fold,
        past.connect() as ageing,
        past.connect(autocommit=False, user=WRITER) as writer,
        ThreadPoolExecutor() as pool,
    ):
        fold.execute("lock table entity_stats.gate in row share mode")
        moved = pool.submit(ageing.execute, "select entity_stats.move_window('14d', now() - interval '300 hours')")
        until(past, "select wait_event = 'PgSleep' from pg_stat_activity where pid = %s", [ageing.info.backend_pid])
        fold.rollback()
        moved.result()

        ageing.execute("begin")
        ageing.execute("select entity_stats.move_window('14d', now() - interval '200 hours')")
        writer.execute("insert into public.killmails select * from test.killmails(50, 2, '100 hours', '400 hours')")
        commit = pool.submit(writer.commit)
        until_blocked(past, writer)
        ageing.execute("commit")
        commit.result()
    assert_exact(past)


def test_lets_maintenance_pass(past: Database) -> None:
    """Ageing waits for a transaction that locks one partition after the other, and is never in its way."""
    first, second = (
        row[0]
        for row in past.fetch(
            "select c.oid::regclass::text from pg_class as c inner join pg_inherits as i on c.oid = i.inhrelid"
            " where i.inhparent = 'public.killmails'::regclass order by c.oid limit 2"
        )
    )
    with past.connect() as ageing, ThreadPoolExecutor() as pool, past.connect(autocommit=False) as maintenance:
        maintenance.execute(f"lock table {second} in access exclusive mode".encode())
        moved = pool.submit(ageing.execute, "select entity_stats.move_window('14d', now() - interval '200 hours')")
        until(past, "select wait_event = 'PgSleep' from pg_stat_activity where pid = %s", [ageing.info.backend_pid])
        maintenance.execute(f"lock table {first} in access exclusive mode".encode())
        maintenance.commit()
        moved.result()
    assert deadlocks(past) == 0
    assert_exact(past)


@pytest.mark.parametrize("timezone", ["UTC", "America/St_Johns", "Pacific/Kiritimati", "Europe/Berlin"])
def test_daylight_saving_and_month_ends(source: Database, timezone: str) -> None:
    """Days are 24 hours and times UTC, whatever the session's time zone does that night."""
    source.load(SQL / "deploy.sql")
    with source.connect(options=f"-c timezone={timezone}") as session:
        session.execute(
            """
            insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
            select n, '2025-02-20 00:30:00+00'::timestamptz + n * interval '1 hour', 700 + n %% 3, 800 + n %% 5, n
            from generate_series(1, 1500) as n where %s
            """,
            [True],
        )
        session.execute("call entity_stats.backfill(as_of => '2025-03-01 00:00:00+00')")
        expected: list[Any] = []
        # Daylight saving begins on 9 March (St. John's) and 30 March (Berlin).
        for as_of in (
            "2025-03-09 02:30:00+00",
            "2025-03-10 00:00:00+00",
            "2025-03-30 01:00:00+00",
            "2025-03-31 23:59:59.999999+00",
            "2025-04-01 00:00:00+00",
        ):
            session.execute("call entity_stats.age_windows(as_of => %s)", [as_of])
            expected += session.execute(
                "select cutoff = %s::timestamptz - make_interval(hours => 24 * days)"
                " from entity_stats.time_window where days is not null",
                [as_of],
            ).fetchall()
            assert source.fetch("select * from entity_stats.differences()") == []
            assert source.oracle() == []
        assert expected == [(True,)] * 15
        newest = session.execute(
            'select max("lastKillTime")::text from public.entity_stats_cache where "entityId" = 800'
        ).fetchall()
        assert newest == [("2025-04-23 12:30:00",)]
    assert_exact(source)
