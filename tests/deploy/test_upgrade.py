"""From the version before to this one, in place, while killmails keep arriving."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from entity_stats.sql import deployment
from tests.deploy.catalog import catalog
from tests.deploy.test_deploy import more, sessions, writers
from tests.fixtures.database import ROOT, SQL, WRITER, Database
from tests.fixtures.worlds import CUTOFFS, Worlds, assert_exact, deadlocks, pending
from tests.standings import wrong_boards

#: The last version whose ledger had a row per killmail.
BEFORE = "2ae5a076b5e3e0b8c21fe48b97547324336e688d"

#: The last version with two lists of leaders for each type and period.
TWO_LISTS = "1ae0cc53798de15a3698a0900c84d4e40635a662"
#: The last version with a table of who is on a list, and with invalidations within the schema.
LISTS_IN_A_TABLE = "363defcfa0447be0a884d37a9db222233a5ba395"
#: The first version whose claims are views, and the last that locked tables by their numbers.
LOCKS_BY_NUMBER = "570e271ac9e407b994b36ed9774ed01652e142f7"
#: This version, but for what is being changed.
LAST_COMMIT = "HEAD"

VERSIONS = {
    "before": BEFORE,
    "two lists": TWO_LISTS,
    "lists in a table": LISTS_IN_A_TABLE,
    "locks by number": LOCKS_BY_NUMBER,
    "last commit": LAST_COMMIT,
}

CACHE = "select count(*) from public.entity_stats_cache"
POPULATED = "select public.is_stats_cache_populated()"
STATUS = "select * from entity_stats.status()"
ENTITY = """select * from public.get_entity_stats(1, 'character')"""
VIEW = """select count(*) from public.character_stats where "entityId" = 1"""
LEADERS = "select * from public.get_top_entities_by_kills_from_cache('character', 'all')"
RUNS = "select * from entity_stats.run_history(10)"
CLAIM = "select count(*) from entity_stats.counters_are_possible"

#: What sessions read in one transaction.
READERS = {
    "cache first": [(CACHE, POPULATED, RUNS), (CACHE, STATUS), (CACHE, ENTITY, LEADERS), (CACHE, CLAIM)],
    "cache last": [(POPULATED, RUNS, CACHE), (STATUS, ENTITY), (STATUS, VIEW, LEADERS), (CLAIM, CACHE)],
}

STATES = {
    "ready": [],
    "deferred and parked": [
        "set entity_stats.fold = 'deferred'",
        "insert into public.killmails select * from test.killmails(60, 2)",
        "reset entity_stats.fold",
        "insert into public.killmails select * from test.killmails(600, 3)",
        'delete from public.killmails where "killmailId" between 2000001 and 2000020',
    ],
    "half built": [
        "call entity_stats.backfill_begin(rebuild => true)",
        "call entity_stats.backfill_phase('all', 'character')",
        "insert into public.killmails select * from test.killmails(60, 2)",
    ],
}

#: The last version without a history of days and months.
WITHOUT_HISTORY = "1ae0cc53798de15a3698a0900c84d4e40635a662"


def deploy_of(commit: str, folder: Path) -> Path:
    """The deployment of an earlier version, from the repository's history."""
    archive = subprocess.run(["git", "archive", commit, "sql"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        pytest.skip("this copy of the repository has no history")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "sql" / "deploy.sql"


@pytest.fixture
def earlier(worlds: Worlds, tmp_path: Path, commit: str) -> Iterator[Database]:
    """A world where an earlier version is deployed, and its cache filled."""

    def build(database: Database) -> None:
        result = database.psql("-f", deploy_of(commit, tmp_path))
        assert result.returncode == 0, result.stderr
        database.execute("call entity_stats.backfill()")

    with worlds.built(commit, build) as database:
        yield database


@pytest.fixture
def commit() -> str:
    """Which version that is, unless a test is parametrised."""
    return BEFORE


@pytest.mark.parametrize("commit", [WITHOUT_HISTORY])
def test_history_is_off_until_it_is_filled(earlier: Database, ready: Database) -> None:
    """No writer fails, a page that reads in a long transaction is not waited for in its way, and the result is as fresh."""
    with writers(earlier, 4) as committed:
        more(committed)
        result = earlier.psql("-f", SQL / "deploy.sql")
        assert result.returncode == 0, result.stderr
        more(committed)
        assert earlier.value('select "historyTo" is null from entity_stats.state')
        assert earlier.value("select count(*) from entity_stats.late") == 0
        earlier.execute("call entity_stats.fill_history()")
        more(committed)
    assert earlier.value("select count(*) from entity_stats.month") > 0
    assert_exact(earlier)
    earlier.execute("call entity_stats.drop_history()")
    earlier.execute(CUTOFFS)
    partitions = {
        name
        for [name] in earlier.fetch(
            "select inhrelid::regclass::text from pg_inherits where inhparent::regclass::text ~ '^entity_stats'"
        )
    }
    assert {
        item for item in catalog(earlier) - catalog(ready) if not any(name in str(item) for name in partitions)
    } == set()


@pytest.mark.parametrize("state", list(STATES))
def test_in_place(earlier: Database, state: str) -> None:
    """Ready, with pending facts, or half way through a rebuild: no writer fails, and the cache is exact."""
    with earlier.connect(user=WRITER) as writer:
        for statement in STATES[state]:
            (earlier if "call" in statement else writer).execute(statement)

    with writers(earlier, 4) as committed:
        more(committed)
        result = earlier.psql("-f", SQL / "deploy.sql")
        assert result.returncode == 0, result.stderr
        more(committed)
    assert_exact(earlier)
    earlier.execute("call entity_stats.backfill(rebuild => true)")
    assert_exact(earlier)
    upgraded = catalog(earlier)
    result = earlier.psql("-f", SQL / "deploy.sql")
    assert result.returncode == 0, result.stderr
    assert catalog(earlier) == upgraded


@pytest.mark.parametrize(("commit", "marks"), [(TWO_LISTS, 24), (LISTS_IN_A_TABLE, 12)])
def test_lists_of_leaders(earlier: Database, ready: Database, marks: int) -> None:
    """They move into the rows of the cache, under writers: leaderboards are right at once, and fast after the next cleanup."""
    assert earlier.value("select count(*) from entity_stats.mark") == marks
    with writers(earlier, 4) as committed:
        more(committed)
        result = earlier.psql("-f", SQL / "deploy.sql")
        assert result.returncode == 0, result.stderr
        more(committed)
    assert wrong_boards(earlier) == []
    assert_exact(earlier)
    earlier.execute("call entity_stats.age_windows()")
    assert earlier.value("select count(*) from entity_stats.mark as m where m.complete") == 12
    assert wrong_boards(earlier) == []
    earlier.execute(CUTOFFS)
    assert catalog(earlier) == catalog(ready)


@pytest.mark.parametrize("commit", list(VERSIONS.values()), ids=list(VERSIONS))
def test_all_is_locked_at_once(earlier: Database) -> None:
    """What keeps others from tables that are there already is locked in one place, all or none: nobody is waited for, or only there."""
    existing = [oid for (oid,) in earlier.fetch("select oid from pg_class where relkind in ('r', 'p', 'v')")]
    files = re.findall(r"^\\ir (\S+)$", (SQL / "deploy.sql").read_text(), re.MULTILINE)
    found: dict[str, str] = {}
    with earlier.connect(autocommit=False) as session:
        session.execute("set local client_min_messages = warning; set local check_function_bodies = off")
        for file in files:
            session.execute((SQL / file).read_bytes())
            for (name,) in session.execute(
                """
                select l.relation::regclass::text
                from pg_locks as l
                where
                    l.pid = pg_backend_pid()
                    and l.relation = any(%s)
                    and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                """,
                [existing],
            ):
                found.setdefault(name, file)
        session.rollback()
    assert set(found.values()) == {"01_source/earlier_versions.sql"}


@pytest.mark.parametrize("commit", list(VERSIONS.values()), ids=list(VERSIONS))
def test_interrupted_after_its_commit(earlier: Database, ready: Database) -> None:
    """What is replaced is dropped later, by the next deployment at the latest; nothing of it is taken over twice."""
    with earlier.connect(user=WRITER) as writer:
        for statement in STATES["deferred and parked"]:
            writer.execute(statement)
    for _ in range(2):
        earlier.execute(deployment())
    assert earlier.psql("-f", SQL / "deploy.sql").returncode == 0
    assert_exact(earlier)
    earlier.execute(CUTOFFS)
    assert catalog(earlier) == catalog(ready)


@pytest.mark.parametrize("commit", [LISTS_IN_A_TABLE])
def test_lists_of_leaders_beside_slow_folds(earlier: Database) -> None:
    """There is no moment without a fold that holds the cache and has not come to the lists yet."""

    def fold(session: psycopg.Connection[Any], *_: int) -> None:
        session.execute("lock table public.entity_stats_cache in row exclusive mode")
        session.execute("select pg_sleep(0.1)")
        session.execute("lock table entity_stats.mark in access share mode")

    with sessions(earlier, 4, fold) as committed:
        more(committed)
        result = earlier.psql("-c", "set statement_timeout = '30s'", "-f", SQL / "deploy.sql")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("order", list(READERS))
@pytest.mark.parametrize("commit", list(VERSIONS.values()), ids=list(VERSIONS))
def test_beside_readers(earlier: Database, order: str) -> None:
    """There is no moment without transactions that have read one of our tables and will read another: none fails, none waits for long."""
    has_claims = earlier.value("select to_regclass('entity_stats.counters_are_possible') is not null")
    orders = [queries for queries in READERS[order] if has_claims or CLAIM not in queries]

    def read(session: psycopg.Connection[Any], index: int, _: int) -> None:
        session.prepare_threshold = None  # else select * of a status that gets columns fails, at the client's wish
        for query in orders[index]:
            session.execute(query)
            session.execute("select pg_sleep(0.1)")

    with sessions(earlier, len(orders), read, options="-c statement_timeout=5s") as committed:
        more(committed)
        result = earlier.psql("-c", "set statement_timeout = '30s'", "-f", SQL / "deploy.sql")
        more(committed)
    assert result.returncode == 0, result.stderr
    assert deadlocks(earlier) == 0


@pytest.mark.parametrize("commit", [LISTS_IN_A_TABLE])
def test_stale_stays_stale(earlier: Database) -> None:
    """Why the cache is stale has moved out of the schema."""
    earlier.execute("truncate public.killmails")
    assert earlier.psql("-f", SQL / "deploy.sql").returncode == 0
    assert str(earlier.value("select reason from entity_stats.status()")).startswith("TRUNCATE of public.killmails")
    earlier.execute("call entity_stats.backfill()")
    assert_exact(earlier)


@pytest.mark.parametrize("commit", [LISTS_IN_A_TABLE])
def test_records_of_runs_are_kept(earlier: Database) -> None:
    """They were a JSON document per run, and are columns."""
    run = earlier.value(
        "select entity_stats.start_run('cleanup', now(), %s)", ['{"run": "manual__1", "asOf": "2026-01-01"}']
    )
    said = '{"steps": {"Ageing": ["Aged 5"]}, "failed": ["age.age_14d"]}'
    earlier.execute("select entity_stats.finish_run(%s, 'failure', %s)", [run, said])
    [sizes] = earlier.fetch(
        "select detail -> 'entities', detail -> 'cacheBytes' from entity_stats.run where run = %s", [run]
    )
    assert earlier.psql("-f", SQL / "deploy.sql").returncode == 0
    assert earlier.fetch(
        """
        select
            r.outcome, r."airflowRun", r."asOfGiven", r.backend, r.steps, r.failed,
            jsonb_build_object('character', r.characters, 'corporation', r.corporations, 'alliance', r.alliances), r."sizeBytes"
        from entity_stats.run as r
        where r.run = %s
        """,
        [run],
    ) == [("failure", "manual__1", True, None, {"Ageing": ["Aged 5"]}, ["age.age_14d"], *sizes)]


def test_an_earlier_version_is_not_uninstalled(earlier: Database) -> None:
    """What it has deployed is not known to this one: nothing is done, and how to go on is said."""
    refused = earlier.psql("-f", SQL / "uninstall.sql")
    assert refused.returncode == 3
    assert "an earlier version of the cache is deployed" in refused.stderr
    with earlier.connect(user=WRITER) as writer:
        writer.execute("insert into public.killmails select * from test.killmails(20, 7)")
    assert earlier.psql("-f", SQL / "deploy.sql").returncode == 0
    assert_exact(earlier)
    assert earlier.psql("-f", SQL / "uninstall.sql").returncode == 0
    assert earlier.value("select to_regnamespace('entity_stats')") is None


def test_too_much_is_pending(earlier: Database) -> None:
    """What would hold up ingests for long is refused, with the remedy, and nothing is changed."""
    earlier.execute("set entity_stats.fold = 'deferred'")
    earlier.execute("insert into public.killmails select * from test.killmails(100001, 2)")
    result = earlier.psql("-f", SQL / "deploy.sql")
    assert result.returncode != 0
    assert "call entity_stats.fold_pending(), then deploy again" in result.stderr
    assert pending(earlier) == 100001


def test_upgraded_is_as_fresh(earlier: Database, ready: Database) -> None:
    """What an upgrade leaves is what a deployment makes."""
    assert earlier.psql("-f", SQL / "deploy.sql").returncode == 0
    earlier.execute(CUTOFFS)
    assert catalog(earlier) - catalog(ready) == set()
    assert catalog(ready) - catalog(earlier) == set()
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="ready"):
        earlier.execute("call entity_stats.backfill()")
