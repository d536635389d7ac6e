"""Every read on a real hot standby, which streams from the primary."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from local.server import EmbeddedServer
from tests.fixtures.database import SQL, Database, Databases
from tests.fixtures.standby import can_be_copied
from tests.fixtures.standby import standby as make_standby
from tests.fixtures.worlds import assert_exact, until
from tests.sql.reads.test_reads import everything


@pytest.fixture
def primary(own_server: EmbeddedServer) -> Iterator[Database]:
    """A ready cache on a server of its own, killmails still arriving."""
    databases = Databases(own_server)
    with databases.site() as database:
        database.execute("select sample.generate_killmails(2000, now() - interval '200 days', now())")
        database.execute("call entity_stats.backfill()")
        yield database
    databases.close()


@pytest.fixture
def standby(primary: Database) -> Iterator[Database]:
    """The primary's streaming copy."""
    if not can_be_copied(primary.server):
        pytest.skip("these server binaries have no pg_basebackup")
    with make_standby(primary.server) as copy:
        yield Database(copy, primary.name)


def caught_up(primary: Database, standby: Database) -> None:
    """Wait until the standby has replayed all that the primary has committed."""
    lsn = primary.value("select pg_current_wal_lsn()")
    until(standby, "select pg_last_wal_replay_lsn() >= %s::pg_lsn", [lsn])


def test_everything_can_be_read_there(primary: Database, standby: Database) -> None:
    primary.execute("insert into public.killmails select * from sample.live_killmails(20)")
    caught_up(primary, standby)
    assert standby.value("select pg_is_in_recovery()")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        standby.execute("insert into public.killmails select * from public.killmails")
    for call in everything():
        question = f"select t::text from {call} as t order by 1"
        assert standby.fetch(question) == primary.fetch(question), call
    with standby.connect() as session:
        session.execute("begin transaction isolation level repeatable read, read only")
        for call in everything():
            session.execute(f"select * from {call}")
    standby.close()


def test_promoted(primary: Database, standby: Database) -> None:
    """The standby takes over with facts pending: ready and exact, it folds, ages and rebuilds; the cache is not another server's."""
    with primary.connect() as loader:
        loader.execute("set entity_stats.fold = 'deferred'")
        loader.execute("insert into public.killmails select * from sample.live_killmails(20)")
    caught_up(primary, standby)
    assert standby.value("select pg_promote()")
    assert standby.fetch("select s.status, s.reason, s.pending from entity_stats.status() as s") == [
        ("ready", None, 20)
    ]
    assert standby.fetch("select * from entity_stats.differences()") == []
    standby.execute("insert into public.killmails select * from sample.live_killmails(20)")
    standby.execute('delete from public.killmails where "killmailId" % 50 = 0')
    standby.execute("call entity_stats.age_windows()")
    assert_exact(standby)
    standby.load(SQL / "deploy.sql")
    standby.execute("call entity_stats.backfill(rebuild => true)")
    assert standby.fetch("select s.status, s.reason from entity_stats.status() as s") == [("ready", None)]
    assert_exact(standby)
    standby.close()
