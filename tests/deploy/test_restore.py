"""Dump and restore: of a ready cache exact and live, of a half-filled one to be begun anew."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from local.server import EmbeddedServer
from tests.conftest import TIMEZONE
from tests.fixtures.database import SQL, WRITER, Database
from tests.fixtures.worlds import assert_exact, pending, rows_of
from tests.sql.checks.claims import offences

ROLES = ("entity_stats_reader", "entity_stats_operator", WRITER, "stranger")


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[EmbeddedServer]:
    """Another server, without any role of ours, and with transaction ids of its own."""
    with EmbeddedServer(durable=False, in_memory=True, timezone=TIMEZONE) as server:
        yield server


@contextmanager
def restored(
    database: Database, server: EmbeddedServer, folder: Path, *options: str, failing: bool = False
) -> Iterator[Database]:
    """A copy of a database on another server, made by pg_dump and pg_restore."""
    name, archive = f"restored_{database.name}", folder / "dump"
    database.close()
    run(server, "pg_dump", "--format=custom", f"--file={archive}", f"--dbname={database.conninfo}")
    with psycopg.connect(server.conninfo(), autocommit=True) as session:
        session.execute(f"create database {name}")
        copy = Database(server, name)
        try:
            result = run(server, "pg_restore", *options, f"--dbname={copy.conninfo}", archive, check=not failing)
            assert (result.returncode != 0) == failing, result.stderr
            yield copy
        finally:
            copy.close()
            session.execute(f"drop database {name} with (force)")


def run(
    server: EmbeddedServer, program: str, *args: str | Path, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run one of the server's programs."""
    result = subprocess.run([server.bin / program, *args], capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, result.stderr
    return result


@contextmanager
def roles(server: EmbeddedServer) -> Iterator[None]:
    """The roles, which a dump of one database does not hold: pg_dumpall --roles-only does."""
    with psycopg.connect(server.conninfo(), autocommit=True) as session:
        for role in ROLES:
            session.execute(f"create role {role} {'login' if role in (WRITER, 'stranger') else ''}")
        try:
            yield
        finally:
            for role in ROLES:
                session.execute(f"drop owned by {role}; drop role {role}")


def test_ready(ready: Database, elsewhere: EmbeddedServer, tmp_path: Path) -> None:
    """A dump taken while facts were pending and a transaction was open: the copy is exact, live, folds and ages."""
    ready.execute("insert into public.killmails select * from test.killmails(700, 2, to_age => '40 days')")
    ready.execute("create table test.before as select count(*) as killmails from public.killmails")
    with ready.connect(user=WRITER) as writer, writer.transaction():
        writer.execute("insert into public.killmails select * from test.killmails(20, 3)")
        with roles(elsewhere), restored(ready, elsewhere, tmp_path) as copy:
            assert pending(copy) == 700
            assert copy.value("select count(*) from public.killmails") == copy.value(
                "select killmails from test.before"
            )
            assert offences(copy) == {}
            with copy.connect(user=WRITER) as other:
                other.execute("insert into public.killmails select * from test.killmails(20, 4)")
            assert offences(copy) == {}
            assert_exact(copy)
            with copy.connect(user=WRITER) as other:
                other.execute("""delete from public.killmails where "killmailId" % 9 = 0""")
            copy.execute("call entity_stats.age_windows()")
            assert_exact(copy)
            copy.load(SQL / "deploy.sql")
            copy.execute("call entity_stats.backfill(rebuild => true)")
            assert_exact(copy)


def test_transaction_ids_meet_again(ready: Database, elsewhere: EmbeddedServer, tmp_path: Path) -> None:
    """A transaction of the copy that has the id of a pending one folds its facts, or leaves them, but once."""
    ready.execute("set entity_stats.fold = 'deferred'")
    ready.execute("insert into public.killmails select * from test.killmails(30, 2)")
    with roles(elsewhere), restored(ready, elsewhere, tmp_path) as copy, copy.connect() as session:
        with session.transaction():
            session.execute("update entity_stats.ledger set xid = pg_current_xact_id()")
            session.execute("insert into public.killmails select * from test.killmails(20, 3)")
        assert_exact(copy)


@pytest.mark.parametrize(
    ("rebuild", "finishing"),
    [(False, False), (True, False), (True, True)],
    ids=["backfill", "rebuild", "finishing a rebuild"],
)
def test_half_filled(
    source: Database, elsewhere: EmbeddedServer, tmp_path: Path, rebuild: bool, finishing: bool
) -> None:
    """The copy's snapshots are of another server: it does not go on from there, but begins anew."""
    source.load(SQL / "deploy.sql")
    if rebuild:
        source.execute("call entity_stats.backfill()")
    source.execute("call entity_stats.backfill_begin(rebuild => %s)", [rebuild])
    periods = ("all", "90d", "30d", "14d") if finishing else ("all", "90d")
    for period in periods:
        for entity_type in ("character", "corporation", "alliance"):
            source.execute("call entity_stats.backfill_phase(%s, %s)", [period, entity_type])
            source.execute("insert into public.killmails select * from sample.live_killmails(5)")
    if finishing:
        source.execute("select entity_stats.open_cache()")
        source.execute("select entity_stats.finish_range(5)")
    source.execute("set entity_stats.fold = 'deferred'")
    source.execute("insert into public.killmails select * from sample.live_killmails(5)")

    with roles(elsewhere), restored(source, elsewhere, tmp_path) as copy:
        assert set(offences(copy)) == (set() if rebuild else {"cache_is_ready"})
        assert copy.value("select count(*) from entity_stats.ledger where not folded") > 0
        for table in ("ledger",):  # wherever the two servers' transaction ids are
            copy.execute(
                f"update entity_stats.{table} set xid = (pg_current_xact_id()::text::bigint + 1000000)::text::xid8"
            )
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="it was begun on another server"):
            copy.execute("call entity_stats.backfill_finish()")
        notices: list[str] = []
        with copy.connect() as session:
            session.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
            session.execute("call entity_stats.backfill(rebuild => %s)", [rebuild])
        assert not any("Resuming" in notice for notice in notices), notices
        assert_exact(copy)
        assert offences(copy) == {}


def test_on_the_same_server(source: Database, server: EmbeddedServer, tmp_path: Path) -> None:
    """Where it went on as a copy on the same server, it is exact as well."""
    source.load(SQL / "deploy.sql")
    source.execute("call entity_stats.backfill_begin()")
    source.execute("call entity_stats.backfill_phase('all', 'character')")
    source.execute("insert into public.killmails select * from sample.live_killmails(5)")
    with restored(source, server, tmp_path) as copy:
        copy.execute("call entity_stats.backfill()")
        assert_exact(copy)


def test_without_the_roles(ready: Database, elsewhere: EmbeddedServer, tmp_path: Path) -> None:
    """Restored where the roles are missing, or without owners and rights, deploying again sets all right."""
    fingerprint = rows_of(ready, "public.entity_stats_cache")
    for options, failing in (((), True), (("--no-owner", "--no-acl"), False)):
        with restored(ready, elsewhere, tmp_path, *options, failing=failing) as copy:
            assert rows_of(copy, "public.entity_stats_cache") == fingerprint
            copy.load(SQL / "deploy.sql")
            assert offences(copy) == {}
            copy.execute(f"create role {WRITER} login")
            copy.execute(f"grant insert on public.killmails to {WRITER}")
            with copy.connect(user=WRITER) as writer:
                writer.execute(
                    """insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId") values (1, now(), 5)"""
                )
            assert_exact(copy)
            assert copy.fetch(
                """
                select distinct p.proowner::regrole::text from pg_proc as p where p.oid in (select * from entity_stats.deployed_functions())
                """
            ) == [("entity_stats_operator",)]
        with psycopg.connect(elsewhere.conninfo(), autocommit=True) as session:
            for role in ("entity_stats_reader", "entity_stats_operator", WRITER):
                session.execute(f"drop owned by {role}; drop role {role}")
