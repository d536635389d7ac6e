"""Whatever happens to a fold, the ingest commits, nothing is lost, and what is left is folded later."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from local import SAMPLE
from local.server import EmbeddedServer
from tests.fixtures.database import SQL, WRITER, Database
from tests.fixtures.worlds import GRANTS, KILLMAILS, assert_exact, deadlocks, pending, until, until_blocked

#: A kill of character 1, which everybody knows, and of two whom nobody else touches.
INSERT = """
    insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
    select {first} + n, now(), {victim}, {victim} + 1, 5 from generate_series(1, {rows}) as n
"""
REASONS = "select l.reason from entity_stats.ledger as l order by l.part"


def kill(first: int, victim: int = 1, rows: int = 1) -> str:
    """An INSERT of killmails first + 1 and so on, victim killed by victim + 1."""
    return INSERT.format(first=first, victim=victim, rows=rows)


@contextmanager
def held_gate(database: Database) -> Iterator[None]:
    """Somebody holds the gate."""
    with database.connect(autocommit=False) as holder:
        holder.execute("lock table entity_stats.gate in exclusive mode")
        yield


@contextmanager
def held_row(database: Database) -> Iterator[None]:
    """Somebody holds the row of character 1 in the cache."""
    with database.connect(autocommit=False) as holder:
        holder.execute(
            """select from public.entity_stats_cache where "entityId" = 1 and "entityType" = 'character' for update"""
        )
        yield


@pytest.fixture
def writer(ready: Database) -> Iterator[psycopg.Connection[Any]]:
    """A session that may only write killmails, in autocommit."""
    with ready.connect(user=WRITER) as session:
        yield session


@pytest.mark.parametrize("held", [held_gate, held_row])
@pytest.mark.parametrize(
    "settings", ["", "-c statement_timeout=300ms -c lock_timeout=100ms -c idle_in_transaction_session_timeout=300ms"]
)
def test_blocked(ready: Database, held: Any, settings: str) -> None:
    """A fold that gets no lock gives up by itself; the session's own timeouts neither shorten it nor make the COMMIT fail."""
    with ready.connect(user=WRITER, options=settings) as writer, held(ready):
        writer.execute(kill(9000000))
        assert pending(ready) == 1
        for statement in ["begin", kill(9000001), "commit"]:
            writer.execute(statement)
        assert pending(ready) == 2
    assert ready.value("""select count(*) from public.killmails where "killmailId" > 9000000""") == 2
    assert all("55P03" in reason for (reason,) in ready.fetch(REASONS))
    assert ready.fetch("select * from entity_stats.differences()") == []
    assert_exact(ready)


def test_blocked_row_stops_nobody_else(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """Who has nothing to do with a blocked row folds at once, during and after, and does not inherit the trouble."""
    with held_row(ready):
        writer.execute(kill(9000000))
        assert pending(ready) == 1
        writer.execute("set statement_timeout = '1s'")
        for turn in range(1, 6):
            writer.execute(kill(9000000 + turn, victim=500))
            assert pending(ready) == 1
        with pytest.raises(psycopg.errors.LockNotAvailable):
            ready.execute("call entity_stats.fold_pending()")
    assert_exact(ready)


def test_bulk_load_with_a_blocked_row(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """Facts that wait for a row that somebody holds are no concern of other COMMITs."""
    writer.execute("set entity_stats.fold = 'deferred'")
    writer.execute(kill(9000000))
    writer.execute("reset entity_stats.fold")
    with held_row(ready):
        writer.execute(kill(9000001, victim=500))
        writer.execute(kill(9000002, victim=500))
        assert pending(ready) == 1
        assert ready.value("""select "lossesAll" from public.entity_stats_cache where "entityId" = 500""") == 2
    assert_exact(ready)


@pytest.mark.parametrize("held", [held_gate, held_row])
def test_cancelled(ready: Database, writer: psycopg.Connection[Any], held: Any) -> None:
    """Cancelling a COMMIT in its fold ends the fold, not the transaction."""
    with ThreadPoolExecutor() as pool, held(ready):
        commit = pool.submit(writer.execute, kill(9000000))
        until_blocked(ready, writer)
        assert ready.value("select pg_cancel_backend(%s)", [writer.info.backend_pid])
        commit.result()
    assert ready.value("""select count(*) from public.killmails where "killmailId" = 9000001""") == 1
    [(reason,)] = ready.fetch(REASONS)
    assert "57014" in reason
    assert_exact(ready)


def test_terminated(ready: Database) -> None:
    """A session that is terminated in its fold has not committed: neither its killmails nor its facts exist."""
    with ThreadPoolExecutor() as pool, held_row(ready):
        writer = ready.connect(user=WRITER)
        commit = pool.submit(writer.execute, kill(9000000))
        until_blocked(ready, writer)
        assert ready.value("select pg_terminate_backend(%s)", [writer.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            commit.result()
    assert ready.value("""select count(*) from public.killmails where "killmailId" = 9000001""") == 0
    assert ready.value("select count(*) from entity_stats.ledger") == 0
    assert_exact(ready)


def test_idle_in_transaction(ready: Database) -> None:
    """A session that is ended because it idles leaves nothing, and held nothing."""
    idle = ready.connect(user=WRITER, autocommit=False, options="-c idle_in_transaction_session_timeout=100ms")
    idle.execute(kill(9000000))
    with ready.connect(user=WRITER) as other:
        other.execute(kill(9000001))
    until(ready, "select count(*) = 0 from pg_stat_activity where pid = %s", [idle.info.backend_pid])
    with pytest.raises((psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout)):
        idle.execute("select 1")
    assert pending(ready) == 0
    assert_exact(ready)


#: What breaks the fold of character 1, what mends it, and what the reason says.
BREAKS = {
    "a constraint on the cache": (
        """alter table public.entity_stats_cache add constraint few check ("entityId" <> 1 or "lossesAll" < 1) not valid""",
        "alter table public.entity_stats_cache drop constraint few",
        "23514",
    ),
    "an overflow": (
        """
        create table test.before as select * from public.entity_stats_cache where "entityId" = 1;
        update public.entity_stats_cache set "lossesAll" = 9223372036854775807 where "entityId" = 1;
        """,
        """
        update public.entity_stats_cache as c set "lossesAll" = b."lossesAll"
        from test.before as b where c."entityId" = 1 and c."entityType" = b."entityType"
        """,
        "22003",
    ),
    "a full disk": (
        """
        create function test.full() returns trigger language plpgsql as $$
        begin raise 'could not extend file' using errcode = 'disk_full'; end $$;
        create trigger full_disk before update on public.entity_stats_cache
        for each row when (old."entityId" = 1) execute function test.full();
        """,
        "drop trigger full_disk on public.entity_stats_cache",
        "53100",
    ),
}


@pytest.mark.parametrize("fault", list(BREAKS))
def test_broken(ready: Database, writer: psycopg.Connection[Any], fault: str) -> None:
    """An error of any kind in a fold leaves its facts pending with the reason, and the ingest commits."""
    breaks, mends, sqlstate = BREAKS[fault]
    ready.execute(breaks)
    writer.execute(kill(9000000, rows=3))
    writer.execute(kill(9010000, rows=3))
    writer.execute(kill(9020000, victim=500))
    assert ready.value("""select count(*) from public.killmails where "killmailId" > 9000000""") == 7
    assert pending(ready) == 6
    assert sqlstate in " ".join(reason for (reason,) in ready.fetch(REASONS))

    # A drain folds what it can and then says what it cannot.
    writer.execute("set entity_stats.fold = 'deferred'")
    writer.execute(kill(9030000, victim=600, rows=30))
    with pytest.raises(psycopg.Error) as error:
        ready.execute("call entity_stats.fold_pending()")
    assert error.value.sqlstate == sqlstate
    assert pending(ready) == 6

    ready.execute(mends)
    assert_exact(ready)


#: Killmails whose facts no fold can add: what breaks the arithmetic is in the killmail itself.
NEVER = {
    "the first time that there is": """insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId")
        values (7, '4714-11-24 00:00:00+00 BC', 77)""",
    "the last time that there is": """insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId")
        values (7, '294276-12-31 23:59:59.999999+00', 77)""",
}


@pytest.mark.parametrize("shape", ["partitioned", "plain"], indirect=True)
@pytest.mark.parametrize("killmail", NEVER)
def test_at_the_ends_of_time(ready: Database, writer: psycopg.Connection[Any], killmail: str) -> None:
    """A time whose neighbours are beyond the range of timestamps comes and goes, now and pending, and in a rebuild."""
    for mode in ("", "deferred"):
        writer.execute("select set_config('entity_stats.fold', %s, false)", [mode])
        writer.execute(NEVER[killmail].encode())
        if mode:
            ready.execute("call entity_stats.fold_pending()")
        ready.execute("select entity_stats.recalculate(77, 'character')")
        assert_exact(ready)
        ready.execute("call entity_stats.backfill(rebuild => true)")
        assert_exact(ready)
        writer.execute('delete from public.killmails where "killmailId" = 7')
        if mode:
            ready.execute("call entity_stats.fold_pending()")
        assert pending(ready) == 0
        assert_exact(ready)


def test_a_fact_that_can_never_be_folded(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """It stays in the ledger with its reason, the error names it, and whatever comes after it is folded."""
    breaks, mends, sqlstate = BREAKS["an overflow"]
    ready.execute(breaks)
    writer.execute("set entity_stats.fold = 'deferred'")
    writer.execute(kill(9000000))
    for turn in range(3):
        writer.execute(kill(9100000 + 1000 * turn, victim=500, rows=300))
        with pytest.raises(psycopg.Error, match="killmails of 1 statements could not be folded") as error:
            ready.execute("call entity_stats.fold_pending()")
        assert error.value.sqlstate == sqlstate
        assert pending(ready) == 1
        [(reason,)] = ready.fetch(REASONS)
        assert reason.startswith(sqlstate)
        assert ready.value("""select "lossesAll" from public.entity_stats_cache where "entityId" = 500""") == 300 * (
            turn + 1
        )
    ready.execute(mends)
    assert_exact(ready)


def test_what_can_be_folded_goes_fast_behind_what_cannot(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """Two in a row that fail, and many behind them that do not: a few hundred at once all the same."""
    breaks, mends, _ = BREAKS["an overflow"]
    ready.execute(breaks)
    writer.execute("set entity_stats.fold = 'deferred'")
    writer.execute(kill(9000000))
    writer.execute(kill(9000001))
    writer.execute(kill(9100000, victim=500, rows=3000))
    before = ready.value("select pg_current_xact_id()::text::bigint")
    with pytest.raises(psycopg.Error, match="killmails of 2 statements could not be folded"):
        ready.execute("call entity_stats.fold_pending()")
    assert pending(ready) == 2
    assert ready.value("select pg_current_xact_id()::text::bigint") - before < 200
    ready.execute(mends)
    assert_exact(ready)


def test_two_drains_of_one_transaction(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """What one transaction left in two rows is folded once, whoever is at it."""
    for statement in [
        "begin; set local entity_stats.fold = 'deferred'",
        kill(9000000, rows=400),
        kill(9010000, rows=400),
        "commit",
    ]:
        writer.execute(statement)
    assert ready.value("select count(*) from entity_stats.ledger") == 2
    drain = "call entity_stats.fold_pending()"
    with ThreadPoolExecutor() as pool, ready.connect() as a, ready.connect() as b:
        with held_row(ready):
            first = pool.submit(a.execute, drain)
            until_blocked(ready, a)
            second = pool.submit(b.execute, drain)
            until(
                ready,
                "select state = 'idle' or cardinality(pg_blocking_pids(pid)) > 0 from pg_stat_activity where pid = %s",
                [b.info.backend_pid],
            )
        first.result()
        second.result()
    assert_exact(ready)


def test_constraints_made_immediate_in_the_midst(ready: Database) -> None:
    """SET CONSTRAINTS ALL IMMEDIATE, however often, locks no row of the cache before the transaction ends."""
    with (
        ready.connect(user=WRITER, autocommit=False) as a,
        ready.connect(user=WRITER, options="-c lock_timeout=5s") as b,
    ):
        for turn in range(4):
            a.execute(kill(9000000 + 10 * turn))
            a.execute("set constraints all immediate")
            a.execute("set constraints all deferred")
            b.execute(kill(9100000 + 10 * turn))
            assert ready.fetch(REASONS) == []
        a.execute("set constraints all immediate")
        a.commit()
    assert pending(ready) == 0
    assert deadlocks(ready) == 0
    assert_exact(ready)


def test_savepoints_with_opposing_orders(ready: Database) -> None:
    """Transactions that visit the same entities in opposing orders, in savepoints, both fold at their COMMIT."""
    with (
        ThreadPoolExecutor() as pool,
        ready.connect(user=WRITER, autocommit=False) as a,
        ready.connect(user=WRITER, autocommit=False) as b,
    ):
        for session, offset, victims in ((a, 0, [1, 700, 3]), (b, 50, [3, 700, 1])):
            for turn, victim in enumerate(victims):
                session.execute("savepoint s")
                session.execute(kill(9000000 + offset + 10 * turn, victim=victim))
                session.execute("savepoint t")
                session.execute(kill(9000000 + offset + 10 * turn + 5, victim=victim))
                session.execute("rollback to t" if turn == 1 else "release t")
        for commit in [pool.submit(a.commit), pool.submit(b.commit)]:
            commit.result()
    assert pending(ready) == 0
    assert deadlocks(ready) == 0
    assert_exact(ready)


@pytest.mark.parametrize("crash", ["server", "backend"])
def test_crash(own_server: EmbeddedServer, crash: str) -> None:
    """After a crash the cache and the ledger are what was committed: the dead had done nothing else."""
    site = small_world(own_server)
    try:
        with site.connect(user=WRITER) as loader:
            loader.execute("set entity_stats.fold = 'deferred'")
            loader.execute(kill(9000000, rows=50))
            loader.execute("reset entity_stats.fold")
            loader.execute(kill(9100000, rows=20))
            for statement in ["begin", kill(9200000, rows=5), "prepare transaction 'survivor'"]:
                loader.execute(statement)
        unfinished = site.connect(user=WRITER, autocommit=False)
        unfinished.execute(kill(9300000, rows=20))
        unfinished.execute("set constraints all immediate")
        before = pending(site)
        site.close()
        if crash == "server":
            own_server.restart("immediate")
        else:
            bystander = site.connect()
            os.kill(unfinished.info.backend_pid, signal.SIGKILL)
            with pytest.raises(
                psycopg.OperationalError
            ):  # ends when the server has noticed: until then it takes sessions
                bystander.execute("select pg_sleep(60)")
            wait_until_up(own_server)
        assert pending(site) == before
        site.execute("commit prepared 'survivor'")
        assert pending(site) == before + 5
        with site.connect(user=WRITER) as writer:
            writer.execute(kill(9400000, rows=5))
        assert_exact(site)
    finally:
        site.close()


def small_world(server: EmbeddedServer) -> Database:
    """A ready cache in the database that every server has: it outlives crashes without being dropped in the end."""
    site = Database(server, "postgres")
    site.load(SAMPLE)
    site.execute(f"create role {WRITER} login")
    site.execute(KILLMAILS + GRANTS)
    site.execute("insert into public.killmails select * from test.killmails(200, 1)")
    site.load(SQL / "deploy.sql")
    site.execute("call entity_stats.backfill()")
    return site


def wait_until_up(server: EmbeddedServer) -> None:
    """Wait until the server takes sessions again."""
    for _ in range(600):
        try:
            psycopg.connect(server.conninfo(), connect_timeout=1).close()
            return
        except psycopg.OperationalError:
            continue
    raise AssertionError("the server did not come back")


@pytest.mark.parametrize("table", ["public.killmails", "a leaf"])
def test_a_limit_of_temporary_files(ready: Database, table: str) -> None:
    """What does not fit into the session's temp_file_limit passes as without the cache; the limit is the session's again afterwards."""
    leaf = "select k.tableoid::regclass::text from public.killmails as k group by k.tableoid order by count(*) desc limit 1"
    target = ready.value(leaf) if table == "a leaf" else table
    with ready.connect(user=WRITER) as writer:
        ready.execute(f"grant set on parameter temp_file_limit to {WRITER}")
        writer.execute("set temp_file_limit = '256kB'")
        writer.execute("set work_mem = '64kB'")
        writer.execute(
            f"""
            insert into {target} ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
            select 9000000 + n, k."killmailTime", 1 + n % 10, 11 + n % 10, n
            from generate_series(1, 4000) as n
            cross join (select m."killmailTime" from {target} as m limit 1) as k
            """.encode()
        )
        assert writer.execute("show temp_file_limit").fetchone() == ("256kB",)
        writer.execute('update public.killmails set "totalValue" = 1 where "killmailId" > 9000000')
        writer.execute('delete from public.killmails where "killmailId" > 9000000')
    assert_exact(ready)
