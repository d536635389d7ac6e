"""The history: days and months of each entity, to the last digit, whatever happens while they are closed and afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from tests.fixtures.database import SQL, WRITER, Database
from tests.fixtures.worlds import (
    WITHOUT_EVENT_TRIGGERS,
    Worlds,
    assert_exact,
    assert_history,
    deadlocks,
    drift,
    fold_pending,
    killed,
    ledger_locked,
    pending,
    until,
    until_blocked,
)
from tests.fixtures.writers import LEVELS, Writers

SHAPES = pytest.mark.parametrize("shape", ["partitioned", "plain", "sub-partitioned"], indirect=True)


@pytest.fixture
def shape(request: pytest.FixtureRequest) -> str:
    """Few partitions, unless a test is parametrised: plans over forty take their time."""
    return str(getattr(request, "param", "sub-partitioned"))


def fill(database: Database, days_ago: float = 0) -> None:
    """Close all days before so many days ago, in a session of its own."""
    with database.connect() as session:
        session.execute("call entity_stats.fill_history(now() - %s * interval '24 hours')", [days_ago])


def late(database: Database) -> int:
    return int(database.value("select count(*) from entity_stats.late"))


def closed(database: Database) -> bool:
    """Whether all is closed that was to be."""
    return bool(
        database.value(
            """select entity_stats.midnight(h."closedTo") = s."historyTo" from entity_stats.history as h, entity_stats.state as s"""
        )
    )


@SHAPES
def test_fill_and_close(ready: Database) -> None:
    """Filled as of 40 days ago, then closed by days and by weeks: exact at each stop, with killmails that come late between."""
    fill(ready, 40)
    assert closed(ready)
    assert_history(ready)
    assert ready.value("select count(*) from entity_stats.month") > 50
    assert ready.value("select count(*) from entity_stats.day") > 50
    with ready.connect(user=WRITER) as writer:
        for number, days_ago in enumerate([39, 38, 30, 9, 1, 0]):
            writer.execute("insert into public.killmails select * from test.killmails(60, %s)", [number + 2])
            for change in (
                """update public.killmails set "totalValue" = 7.125 where "killmailId" %% 5 = %s""",
                """update public.killmails set "killmailTime" = "killmailTime" - interval '13 days' where "killmailId" %% 7 = %s""",
                """delete from public.killmails where "killmailId" %% 11 = %s""",
            ):
                writer.execute(change.encode(), [number])
            assert pending(ready) == 0
            assert late(ready) > 0
            assert drift(ready) == []
            fill(ready, days_ago)
            assert late(ready) == 0
            assert closed(ready)
            assert_history(ready)
    assert_exact(ready)


def test_closes_by_the_day(ready: Database) -> None:
    """A night counts the killmails of its day alone: rows of other days are not written."""
    fill(ready, 3)
    ready.execute("create table test.before as select d.*, d.xmin::text as version from entity_stats.day as d")
    fill(ready, 2)
    assert (
        ready.value(
            """
            select count(*) from test.before as b
            left join entity_stats.day as d using ("entityId", "entityType", day)
            where d.xmin::text is distinct from b.version
            """
        )
        == 0
    )
    assert_history(ready)


def test_off_is_free(ready: Database) -> None:
    """Where no history is kept, nothing is: no rows, no partitions, nothing late; closing says so."""
    ready.execute("insert into public.killmails select * from test.killmails(60, 2)")
    said = ready.psql("-qc", "call entity_stats.close_history()").stderr
    assert "No history is kept" in said
    assert late(ready) == 0
    assert ready.fetch("select * from entity_stats.history_progress()") == []
    assert ready.value("select count(*) from pg_inherits where inhparent = 'entity_stats.month'::regclass") == 0
    assert ready.value('select "historyTo" from entity_stats.state') is None


def test_switched_off_and_on(ready: Database) -> None:
    """Off empties the tables; on fills them again."""
    fill(ready)
    ready.execute("insert into public.killmails select * from test.killmails(60, 2)")
    ready.execute("call entity_stats.drop_history()")
    assert late(ready) == 0
    assert ready.value("select count(*) from entity_stats.month") == 0
    ready.execute("insert into public.killmails select * from test.killmails(60, 3)")
    assert late(ready) == 0
    fill(ready)
    assert_history(ready)
    assert ready.value("select count(*) from entity_stats.month") > 50


@pytest.mark.parametrize("level", [*LEVELS, "deferred", "immediate"])
def test_straddles_the_close(ready: Database, level: str) -> None:
    """A transaction that has written before the day is closed and commits afterwards, in each isolation level."""
    fill(ready, 5)
    with ready.connect(user=WRITER) as writer:
        writer.execute(f"begin isolation level {level if level in LEVELS else LEVELS[0]}".encode())
        if level == "deferred":
            writer.execute("set local entity_stats.fold = 'deferred'")
        writer.execute("insert into public.killmails select * from test.killmails(80, 2, '0', '9 days')")
        writer.execute("""update public.killmails set "totalValue" = 8.5 where "killmailId" % 3 = 0""")
        if level == "immediate":
            writer.execute("set constraints all immediate")
        fill(ready, 2)
        assert drift(ready) == []
        writer.execute("commit")
    if level in ("read committed", "deferred"):
        assert (pending(ready) > 0) == (level == "deferred")
    assert drift(ready) == []
    fill(ready, 1)
    assert drift(ready) == []
    assert_history(ready)
    assert_exact(ready)


def test_commits_between_the_steps(ready: Database) -> None:
    """What is folded after the gate and before the snapshot is late, and counted once."""
    fill(ready, 5)
    ready.execute("select entity_stats.open_late(((now() - interval '2 days') at time zone 'UTC')::date)")
    ready.execute("insert into public.killmails select * from test.killmails(80, 2, '0', '9 days')")
    assert late(ready) > 0
    assert drift(ready) == []
    fold_pending(ready)  # applies what is closed, and leaves the rest
    assert late(ready) > 0
    assert ready.value("select entity_stats.close_range() is not null")
    assert drift(ready) == []
    fill(ready)
    assert late(ready) == 0
    assert_history(ready)


def test_folds_wait_for_the_gate(ready: Database) -> None:
    """A COMMIT that comes while the gate is closed keeps its facts, as the close says."""
    fill(ready, 5)
    with (
        ready.connect(autocommit=False) as closing,
        ready.connect(autocommit=False, user=WRITER) as writer,
        ThreadPoolExecutor() as pool,
    ):
        closing.execute("select entity_stats.open_late(((now() - interval '2 days') at time zone 'UTC')::date)")
        writer.execute("insert into public.killmails select * from test.killmails(50, 2, '3 days', '4 days')")
        commit = pool.submit(writer.commit)
        until_blocked(ready, writer)
        closing.commit()
        commit.result()
    assert late(ready) > 0
    assert drift(ready) == []
    fill(ready, 2)
    assert_history(ready)


def test_waits_for_the_gate_with_nothing_in_hand(ready: Database) -> None:
    """A deployment holds the gate, and then locks the history as COMMENT ON TABLE does: whoever waits for the gate must not hold that."""
    with ready.connect(autocommit=False, options="-c lock_timeout=2s") as deploying, ThreadPoolExecutor() as pool:
        deploying.execute("lock table entity_stats.gate in share update exclusive mode")
        closing = pool.submit(fill, ready)
        until(
            ready,
            "select exists (select from pg_locks as l where l.relation = 'entity_stats.gate'::regclass and not l.granted)",
        )
        deploying.execute("lock table entity_stats.day, entity_stats.month in share update exclusive mode")
        deploying.commit()
        closing.result()
    assert_history(ready)


def test_pending_at_the_close(ready: Database) -> None:
    """Facts that are pending, in the ledger and aside, while their day is closed, are not in it until they are folded."""
    fill(ready, 5)
    with ready.connect(user=WRITER) as writer:
        writer.execute("set entity_stats.fold = 'deferred'")
        writer.execute("insert into public.killmails select * from test.killmails(80, 2, '0', '9 days')")
        writer.execute("""delete from public.killmails where "killmailId" % 6 = 0""")
        with ledger_locked(ready):
            writer.execute("insert into public.killmails select * from test.killmails(20, 3, '0', '9 days')")
    assert ready.value("select count(*) from entity_stats.aside") > 0
    # As when they come after close_history() has folded what was pending.
    ready.execute("select entity_stats.open_late(current_date - 2)")
    ready.execute("select entity_stats.close_range()")
    assert ready.value("select count(*) from entity_stats.aside") > 0
    assert drift(ready) == []
    assert_history(ready)
    assert_exact(ready)


def test_pending_before_the_close(ready: Database) -> None:
    """What is pending is folded first: each month reads what is pending or late, so a mass deletion would be read once per month."""
    with ready.connect(user=WRITER) as writer:
        writer.execute("insert into public.killmails select * from test.killmails(600, 2)")
        writer.execute("""delete from public.killmails where "killmailId" % 6 > 0""")
    assert pending(ready) > 600
    fill(ready, 2)
    assert pending(ready) == 0
    assert not ready.value("select is_called from entity_stats.late_part_seq"), "none of it was late"
    assert_history(ready)


def test_aside_before_the_close(ready: Database) -> None:
    """The same, where nothing is pending but killmails that were set aside."""
    with ledger_locked(ready), ready.connect(user=WRITER) as writer:
        writer.execute("insert into public.killmails select * from test.killmails(20, 3)")
    assert pending(ready) == ready.value("select count(*) from entity_stats.aside") == 20
    fill(ready, 2)
    assert pending(ready) == 0
    assert_history(ready)


@SHAPES
def test_amid_writers(ready: Database) -> None:
    """Filled and closed amid writers of all isolation levels, late killmails and pending facts."""
    with Writers(ready, levels=LEVELS, deferred=True) as writers:
        for days_ago in (200, 100, 30, 29, 3, 2, 1, 0):
            writers.wait_for(6)
            fill(ready, days_ago)
            assert drift(ready) == []
            if days_ago in (30, 2):
                fold_pending(ready)
                ready.execute("select entity_stats.recount_month((now() - interval '40 days')::date)")
    assert_history(ready)
    assert_exact(ready)
    assert deadlocks(ready) == 0


def test_interrupted_and_resumed(ready: Database) -> None:
    """A fill that dies between two months, or within one, goes on where it stopped."""
    with killed(ready) as session:
        session.execute("update entity_stats.history set wanted = true")
        today = datetime.now(UTC).date()
        session.execute("select entity_stats.make_room(%s)", [today])
        session.execute("select entity_stats.open_late(%s)", [today])
        for _ in range(3):
            session.execute("select entity_stats.close_range()")
        stopped = ready.value('select "closedTo" from entity_stats.history')
        session.execute("begin")
        session.execute("select entity_stats.close_range()")
    assert ready.value('select "closedTo" from entity_stats.history') == stopped
    assert not closed(ready)
    [(done_to, target, percent)] = ready.fetch(
        'select "closedTo", "targetDay", percent from entity_stats.history_progress()'
    )
    assert done_to == stopped < target
    assert 0 < percent < 100
    ready.execute("insert into public.killmails select * from test.killmails(60, 2)")
    assert drift(ready) == []
    said = ready.psql("-qc", "call entity_stats.close_history()").stderr
    assert "The history is closed up to" in said
    assert ready.value("select percent from entity_stats.history_progress()") == 100
    assert closed(ready)
    assert_history(ready)


def test_two_at_once(ready: Database) -> None:
    """Two fills beside one another do what one does."""
    with ThreadPoolExecutor() as pool:
        for run in [pool.submit(fill, ready, days) for days in (2, 1, 0)]:
            run.result()
    assert closed(ready)
    assert_history(ready)


def test_truncate_of_a_partition(ready: Database) -> None:
    """Its killmails leave the history as they leave the cache."""
    ready.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "totalValue")
        select n, '2019-03-31 23:30:00+00'::timestamptz + n * interval '10 minutes', n % 5, n from generate_series(1, 9) as n
        """
    )
    fill(ready)
    assert ready.value("select sum(losses) from entity_stats.month where month < '2020-01-01'") == 8
    with ready.connect(user=WRITER) as writer:
        writer.execute("truncate public.killmails_old")
    assert drift(ready) == []
    assert late(ready) > 0
    assert_history(ready)
    assert ready.value("select sum(losses) from entity_stats.month where month < '2020-01-01'") == 0


def test_truncate_of_everything(ready: Database) -> None:
    """The cache is stale, and so is the history: both are built again."""
    fill(ready)
    with ready.connect(user=WRITER) as writer:
        writer.execute("truncate public.killmails")
        writer.execute("insert into public.killmails select * from test.killmails(60, 2)")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="not ready"):
        ready.execute("call entity_stats.close_history()")
    ready.execute("call entity_stats.backfill()")
    assert ready.value('select "closedTo" is null from entity_stats.history')
    ready.execute("insert into public.killmails select * from test.killmails(60, 3)")
    ready.execute("call entity_stats.close_history()")
    assert closed(ready)
    assert_history(ready)
    assert_exact(ready)


def test_rebuild(ready: Database) -> None:
    """A rebuild rebuilds the history, too, and what has come past the triggers is in it."""
    fill(ready)
    ready.execute(
        """
        set entity_stats.capture = 'off';
        delete from public.killmails where "killmailId" % 7 = 0;
        insert into public.killmails select * from test.killmails(60, 2);
        reset entity_stats.capture;
        """
    )
    assert drift(ready) != []
    ready.execute("call entity_stats.backfill_begin(rebuild => true)")
    assert drift(ready) == []  # nothing is closed
    ready.execute("insert into public.killmails select * from test.killmails(60, 3)")
    ready.execute("call entity_stats.close_history()")  # amid the rebuild
    assert drift(ready) == []
    ready.execute("call entity_stats.backfill(rebuild => true)")
    assert_history(ready)
    ready.execute("call entity_stats.close_history()")
    assert closed(ready)
    assert_history(ready)
    assert_exact(ready)


def test_recount(ready: Database) -> None:
    """A month that was changed by hand is mended, with its days, whatever is late or pending."""
    fill(ready, 1)
    ready.execute("insert into public.killmails select * from test.killmails(60, 2)")
    ready.execute("set entity_stats.fold = 'deferred'")
    ready.execute("insert into public.killmails select * from test.killmails(60, 3)")
    ready.execute(
        """
        update entity_stats.month set kills = kills + 1, "iskLost" = 3 where "entityId" % 2 = 0;
        delete from entity_stats.day where "entityId" = 3;
        insert into entity_stats.month select 99, 'alliance', month, 1, 1, 1, 1, 1, 1, 1, 1 from entity_stats.month limit 1;
        """
    )
    months = {row[2].replace(day=1) for row in drift(ready)}
    assert len(months) > 3
    for month in months:
        ready.execute("select entity_stats.recount_month(%s)", [month])
    assert drift(ready) == []
    assert_history(ready)


def test_a_partition_that_came_with_killmails(worlds: Worlds) -> None:
    """Where nothing tells of it, the next look counts it, in the history as in the cache."""
    with worlds.ready("partitioned") as database:
        database.execute(WITHOUT_EVENT_TRIGGERS)
        database.execute(
            """
            create table public.attached (like public.killmails including all);
            insert into public.attached ("killmailId", "killmailTime", "victimCharacterId", "totalValue")
            select n, '2005-05-31 23:30:00+00'::timestamptz + n * interval '10 minutes', 1 + n % 5, n from generate_series(1, 9) as n;
            """
        )
        fill(database)
        database.execute(
            "alter table public.killmails attach partition public.attached for values from ('2005-05-01 00:00:00+00') to ('2005-07-01 00:00:00+00')"
        )
        database.execute("call entity_stats.look_at_source()")
        assert database.value("select public.is_stats_cache_populated()")
        assert_history(database)
        assert database.value("select sum(losses) from entity_stats.month where month < '2006-01-01'") == 9


def test_days_are_dropped(ready: Database) -> None:
    """Days older than the setting go a month at a time, one call after they are out of use; months stay."""
    ready.execute('update entity_stats.history set "keepDays" = 100')
    fill(ready, 70)
    first = ready.value('select "daysFrom" from entity_stats.history')
    months = "select sum(kills) from entity_stats.month where month < %s"
    before = ready.value(months, [first])
    for days_ago in (35, 1, 0):
        fill(ready, days_ago)
        assert_history(ready)
    days_from = ready.value('select "daysFrom" from entity_stats.history')
    assert days_from > first
    assert days_from.day == 1
    assert ready.value("select (now() at time zone 'UTC')::date - %s between 100 and 131", [days_from])
    assert ready.value("select min(day) >= %s from entity_stats.day", [days_from])
    assert ready.value(months, [first]) == before
    # What comes for a day that has gone is in its month.
    ready.execute("insert into public.killmails select * from test.killmails(60, 2, '150 days', '200 days')")
    assert_history(ready)


@pytest.mark.parametrize("timezone", ["UTC", "America/St_Johns", "Pacific/Kiritimati"])
def test_ends_of_months(source: Database, timezone: str) -> None:
    """Days and months are UTC's, whatever the session's time zone; killmails of a microsecond before midnight belong to the day."""
    source.load(SQL / "deploy.sql")
    with source.connect(options=f"-c timezone={timezone}") as session:
        session.execute(
            """
            truncate public.killmails;
            insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
            values (1, '-infinity', 7, 8, 1), (2, '1999-12-31 23:59:59.999999+00', 7, 8, 2), (3, '2000-01-01 00:00:00+00', 7, 8, 4),
                (4, '2024-02-29 23:59:59.999999+00', 7, 8, 8), (5, '2024-03-01 00:00:00+00', 7, 8, 16),
                (6, '2024-03-31 23:59:59.999999+00', 7, 8, 32), (7, 'infinity', 7, 8, 64), (8, '2026-01-01 00:00:00+00', 7, 8, 128);
            """
        )
        session.execute("call entity_stats.backfill(as_of => '2024-03-31 00:00:00+00')")
        expected = {
            "-infinity": 1,
            "1999-12-01": 2,
            "2000-01-01": 4,
            "2024-02-01": 8,
            "2024-03-01": 16,
        }
        session.execute("call entity_stats.fill_history('2024-03-31 23:59:00+00')")
        query = """select month::text, "iskLost" from entity_stats.month where "entityId" = 7"""
        assert dict(session.execute(query).fetchall()) == expected
        session.execute("call entity_stats.close_history('2024-04-01 00:00:00+00')")
        assert dict(session.execute(query).fetchall()) == expected | {"2024-03-01": 48}
        days = session.execute("""select day::text, "iskLost" from entity_stats.day where "entityId" = 7""").fetchall()
        assert dict(days) == {"2024-02-29": 8, "2024-03-01": 16, "2024-03-31": 32}
        session.execute(
            """update public.killmails set "killmailTime" = "killmailTime" - interval '1 microsecond' where "killmailId" in (3, 5)"""
        )
        session.execute("call entity_stats.fold_pending()")
        assert dict(session.execute(query + ' and "iskLost" <> 0').fetchall()) == {
            "-infinity": 1,
            "1999-12-01": 6,
            "2024-02-01": 24,
            "2024-03-01": 32,
        }
    assert_history(source)


def test_late_rows_are_applied_in_steps_whatever_statistics_say(ready: Database) -> None:
    """A table that was full once and is nearly empty when it is analyzed fills again: each row is looked at a few times."""
    rows = 6000
    fill = f"""
        insert into entity_stats.late (
            "entityType", "entityId", day, kills, losses, "iskDestroyed", "iskLost", "soloKills", "soloLosses", "npcKills", "npcLosses"
        )
        select 'character', n % 1000, h."closedTo" - 1 - n % 100, 1, 0, 1, 0, 0, 0, 0, 0
        from entity_stats.history as h, generate_series(1, {rows}) as n
    """
    ready.execute("call entity_stats.fill_history()")
    ready.execute(fill)
    ready.execute("delete from entity_stats.late where part < (select max(part) from entity_stats.late)")
    ready.execute("vacuum analyze entity_stats.late")
    assert ready.value("select reltuples < relpages from pg_class where oid = 'entity_stats.late'::regclass")
    ready.execute(fill)
    read = "select sum(idx_tup_read)::bigint from pg_stat_user_indexes where relid = 'entity_stats.late'::regclass"
    before = ready.value(read)
    with ready.connect() as session:
        applied = 0
        while step := session.execute("select entity_stats.apply_late(2000)").fetchall()[0][0]:
            applied += step
        session.execute("select pg_stat_force_next_flush()")
    assert applied == rows + 1
    assert ready.value(read) - before < 10 * rows


def test_a_lock_on_late(ready: Database) -> None:
    """Somebody holds the table: the ingest commits, its facts are pending."""
    fill(ready)
    with ready.connect(autocommit=False) as holder, ready.connect(user=WRITER) as writer:
        holder.execute("lock table entity_stats.late in access exclusive mode")
        writer.execute("insert into public.killmails select * from test.killmails(5, 2, '5 days', '50 days')")
    assert pending(ready) == 5
    assert_history(ready)
    assert_exact(ready)


def test_operators_keep_it(ready: Database) -> None:
    """Whoever is a member of the operators' role does all of it; partitions are theirs; an uninstall leaves nothing."""
    ready.execute('update entity_stats.history set "keepDays" = 40')
    if not ready.fetch("select from pg_roles where rolname = 'historian'"):
        ready.execute("create role historian login in role entity_stats_operator")
    fill(ready, 100)
    with ready.connect(user="historian") as session:
        for days_ago in (60, 30, 1):
            session.execute("call entity_stats.fill_history(now() - %s * interval '1 day')", [days_ago])
        ready.execute("insert into public.killmails select * from test.killmails(60, 2)")
        session.execute("call entity_stats.close_history()")
        session.execute("select entity_stats.recount_month(now()::date - 30)")
        assert_history(ready)
        session.execute("call entity_stats.drop_history()")
        session.execute("call entity_stats.fill_history()")
    assert_history(ready)
    assert (
        ready.fetch(
            """
        select c.relname from pg_class as c
        where c.relnamespace = 'entity_stats'::regnamespace and c.relkind in ('r', 'p') and c.relowner <> 'entity_stats_operator'::regrole
        """
        )
        == []
    )
    result = ready.psql("-f", SQL / "uninstall.sql")
    assert result.returncode == 0, result.stderr
    assert ready.value("select to_regnamespace('entity_stats') is null")
    assert ready.value("select to_regclass('public.entity_months') is null")


def test_published(ready: Database) -> None:
    """A site that publishes all its tables keeps a history as well."""
    fill(ready, 40)
    ready.execute("create publication everything for all tables")
    fill(ready, 3)
    ready.execute("insert into public.killmails select * from test.killmails(60, 2)")
    fill(ready)
    ready.execute("select entity_stats.recount_month(now()::date - 30)")
    assert_history(ready)


def test_dropped_beside_a_reader(ready: Database) -> None:
    """A reader has read one table and reads another: whoever empties them holds one at a time."""
    fill(ready)
    with ready.connect(autocommit=False) as reader, ready.connect() as session, ThreadPoolExecutor() as pool:
        reader.execute("select from entity_stats.day").fetchall()
        dropping = pool.submit(session.execute, "call entity_stats.drop_history()")
        until(
            ready,
            "select wait_event = 'PgSleep' or cardinality(pg_blocking_pids(pid)) > 0 from pg_stat_activity where pid = %s",
            [session.info.backend_pid],
        )
        reader.execute("set local lock_timeout = '2s'")
        reader.execute("select from entity_stats.late").fetchall()
        reader.execute("commit")
        dropping.result()
    assert ready.value("select count(*) from entity_stats.month") == 0
    assert ready.value("select count(*) from entity_stats.day") == 0
