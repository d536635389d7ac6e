"""From the version before to this one, in place, while killmails keep arriving."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import psycopg
import pytest

from tests.database import ROOT, SQL, WRITER, Database
from tests.deploy.catalog import catalog
from tests.deploy.test_deploy import more, writers
from tests.invariants.world import CUTOFFS, assert_exact, fold_pending, pending
from tests.standings import wrong_boards

#: The last version whose ledger had a row per killmail.
BEFORE = "2ae5a076b5e3e0b8c21fe48b97547324336e688d"

#: The last version with two lists of leaders for each type and period.
TWO_LISTS = "1ae0cc53798de15a3698a0900c84d4e40635a662"

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


def version(commit: str, folder: Path) -> Path:
    """The SQL of an earlier version, from the repository's history."""
    archive = subprocess.run(["git", "archive", commit, "sql"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        pytest.skip("this copy of the repository has no history")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "sql"


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The SQL of the version before."""
    return version(BEFORE, tmp_path)


def test_history_is_off_until_it_is_filled(source: Database, ready: Database, tmp_path: Path) -> None:
    """No writer fails, a page that reads in a long transaction is not waited for in its way, and the result is as fresh."""
    earlier = version(WITHOUT_HISTORY, tmp_path)
    assert source.psql("-f", earlier / "deploy.sql").returncode == 0
    source.execute("call entity_stats.backfill()")
    with writers(source, 4) as committed:
        more(committed)
        result = source.psql("-f", SQL / "deploy.sql")
        assert result.returncode == 0, result.stderr
        more(committed)
        assert source.value('select "historyTo" is null from entity_stats.state')
        assert source.value("select count(*) from entity_stats.late") == 0
        source.execute("call entity_stats.fill_history()")
        more(committed)
    assert source.value("select count(*) from entity_stats.month") > 0
    assert_exact(source)
    source.execute("call entity_stats.drop_history()")
    source.execute(CUTOFFS)
    partitions = {
        name
        for [name] in source.fetch(
            "select inhrelid::regclass::text from pg_inherits where inhparent::regclass::text ~ '^entity_stats'"
        )
    }
    assert {
        item for item in catalog(source) - catalog(ready) if not any(name in str(item) for name in partitions)
    } == set()


@pytest.mark.parametrize("state", list(STATES))
def test_in_place(source: Database, before: Path, state: str) -> None:
    """Ready, with pending facts, or half way through a rebuild: no writer fails, and the cache is exact."""
    for _ in range(2):
        result = source.psql("-f", before / "deploy.sql")
        assert result.returncode == 0, result.stderr
    source.execute("call entity_stats.backfill()")
    with source.connect(user=WRITER) as writer:
        for statement in STATES[state]:
            (source if "call" in statement else writer).execute(statement)

    with writers(source, 4) as committed:
        more(committed)
        result = source.psql("-f", SQL / "deploy.sql")
        assert result.returncode == 0, result.stderr
        more(committed)
    assert_exact(source)
    source.execute("call entity_stats.backfill(rebuild => true)")
    assert_exact(source)
    upgraded = catalog(source)
    result = source.psql("-f", SQL / "deploy.sql")
    assert result.returncode == 0, result.stderr
    assert catalog(source) == upgraded


def test_lists_of_leaders(source: Database, ready: Database, tmp_path: Path) -> None:
    """Two lists of each become one, under writers: leaderboards are right at once, and fast after the next cleanup."""
    before = version(TWO_LISTS, tmp_path)
    assert source.psql("-f", before / "deploy.sql").returncode == 0
    source.execute("call entity_stats.backfill()")
    assert source.value("select count(*) from entity_stats.mark") == 24
    with writers(source, 4) as committed:
        more(committed)
        result = source.psql("-f", SQL / "deploy.sql")
        assert result.returncode == 0, result.stderr
        more(committed)
    fold_pending(source)  # the ledger's index was made anew: meanwhile killmails were set aside
    assert wrong_boards(source) == []
    assert_exact(source)
    source.execute("call entity_stats.age_windows()")
    assert source.value("select count(*) from entity_stats.mark as m where m.complete") == 12
    assert wrong_boards(source) == []
    source.execute(CUTOFFS)
    assert catalog(source) == catalog(ready)


def test_too_much_is_pending(source: Database, before: Path) -> None:
    """What would hold up ingests for long is refused, with the remedy, and nothing is changed."""
    assert source.psql("-f", before / "deploy.sql").returncode == 0
    source.execute("call entity_stats.backfill()")
    source.execute("set entity_stats.fold = 'deferred'")
    source.execute("insert into public.killmails select * from test.killmails(100001, 2)")
    result = source.psql("-f", SQL / "deploy.sql")
    assert result.returncode != 0
    assert "call entity_stats.fold_pending(), then deploy again" in result.stderr
    assert pending(source) == 100001


def test_upgraded_is_as_fresh(source: Database, ready: Database, before: Path) -> None:
    """What an upgrade leaves is what a deployment makes."""
    assert source.psql("-f", before / "deploy.sql").returncode == 0
    source.execute("call entity_stats.backfill()")
    assert source.psql("-f", SQL / "deploy.sql").returncode == 0
    source.execute(CUTOFFS)
    assert catalog(source) - catalog(ready) == set()
    assert catalog(ready) - catalog(source) == set()
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="ready"):
        source.execute("call entity_stats.backfill()")
