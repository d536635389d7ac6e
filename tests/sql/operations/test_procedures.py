"""The procedures that people call with psql: they say where they cannot run, and the history has what they did."""

from __future__ import annotations

import psycopg
import pytest

from tests.fixtures.database import Database
from tests.fixtures.worlds import until

HISTORY = 'select operation, outcome, "finishedAt" is not null from entity_stats.run_history() order by run'

#: Arguments of those that cannot be called without.
ARGUMENTS = {"age_window": "'14d'", "backfill_phase": "'all', 'character'", "repair": "1"}


def test_a_transaction_block_is_refused_in_words_that_lead_on(ready: Database) -> None:
    """By every procedure that commits."""
    procedures = ready.fetch(
        "select p.proname from pg_proc as p where p.pronamespace = 'entity_stats'::regnamespace and p.prokind = 'p'"
        " and p.prosrc ~ '\\m(commit|call entity_stats)\\M' and p.proname <> 'require_autocommit' order by 1"
    )
    assert len(procedures) > 10
    for (name,) in procedures:
        with ready.connect(autocommit=False) as session:
            with pytest.raises(psycopg.errors.ActiveSqlTransaction) as refused:
                session.execute(f"call entity_stats.{name}({ARGUMENTS.get(name, '')})")
            session.rollback()
        said = refused.value.diag.message_primary
        assert said == f"{name}() commits as it goes: it cannot run inside a transaction block"
        assert "autocommit" in (refused.value.diag.message_hint or "")
    assert ready.fetch(HISTORY) == []


def test_two_statements_of_psql_are_such_a_block(ready: Database) -> None:
    done = ready.psql("-c", "select 1; call entity_stats.age_windows()")
    assert "age_windows() commits as it goes" in done.stderr
    assert "only statement of psql -c" in done.stderr


def test_what_they_did_is_in_the_history(ready: Database) -> None:
    ready.execute("call entity_stats.age_windows()")
    ready.execute("call entity_stats.backfill(rebuild => true)")
    ready.execute("call entity_stats.recalculate_active(days => 1)")
    assert ready.fetch(HISTORY) == [
        ("cleanup", "success", True),
        ("backfill", "success", True),
        ("recalculation", "success", True),
    ]


def test_a_failure_is_in_the_history(ready: Database) -> None:
    """Known at once when the session has ended, else at the next call."""
    ready.execute(
        "create function test.fail() returns trigger language plpgsql as $$ begin raise 'no'; end $$;"
        "create trigger fail before update on entity_stats.phase for each row execute function test.fail()"
    )
    with ready.connect() as session:
        with pytest.raises(psycopg.errors.RaiseException):
            session.execute("call entity_stats.backfill(rebuild => true)")
        pid = session.info.backend_pid
    until(ready, f"select count(*) = 0 from pg_stat_activity where pid = {pid}")
    assert ready.fetch(HISTORY) == [("backfill", "failure", False)]
    ready.execute("drop trigger fail on entity_stats.phase")
    with ready.connect() as session:
        session.execute("call entity_stats.backfill(rebuild => true)")
    assert ready.fetch(HISTORY) == [("backfill", "failure", False), ("backfill", "success", True)]
    assert ready.value("select outcome from entity_stats.run order by run limit 1") == "failure"


def test_what_was_refused_is_not(ready: Database) -> None:
    for call in ("age_windows('2999-01-01')", "backfill('2999-01-01', true)", "recalculate_active('2999-01-01')"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            ready.execute(f"call entity_stats.{call}")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="there is nothing to backfill"):
        ready.execute("call entity_stats.backfill()")
    assert ready.fetch(HISTORY) == []
