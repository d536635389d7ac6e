"""Sessions that keep writing killmails."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from local.live import LiveKillmails
from tests.fixtures.database import ROOT, Database
from tests.fixtures.worlds import until

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)


@pytest.fixture
def killboard(bare: Database) -> Database:
    bare.fetch("select sample.generate_killmails(500, %s, %s)", [AS_OF - timedelta(days=120), AS_OF])
    return bare


def test_what_it_counts_is_in_the_table(killboard: Database) -> None:
    before = killboard.value("select count(*) from public.killmails")
    lag = datetime.now(UTC) - AS_OF
    with LiveKillmails(killboard.conninfo, lag=lag, oldest=AS_OF - timedelta(days=120), pause=0) as live:
        until(killboard, "select count(*) > 1000 from public.killmails")
    assert live.errors == []
    commits = live.commits()
    assert (
        sum(c.inserted - c.deleted for c in commits)
        == killboard.value("select count(*) from public.killmails") - before
    )
    assert sum(c.revalued for c in commits) > 0
    assert sum(c.deleted for c in commits) > 0
    assert max(c.inserted for c in commits) > 1
    assert all(c.seconds > 0 for c in commits)
    assert live.landed(until=commits[0].at) < live.landed()


def test_killmails_are_of_the_time_that_is_taken_for_now(killboard: Database) -> None:
    lag = datetime.now(UTC) - AS_OF
    with LiveKillmails(killboard.conninfo, lag=lag, oldest=AS_OF - timedelta(days=120), pause=0):
        until(killboard, "select count(*) > 1000 from public.killmails")
    newest = killboard.value('select max("killmailTime") from public.killmails')
    assert timedelta(0) <= datetime.now(UTC) - lag - newest < timedelta(days=1)


def test_a_session_that_is_ended_is_an_error(killboard: Database) -> None:
    with LiveKillmails(killboard.conninfo, lag=timedelta(0), oldest=AS_OF, pause=0) as live:
        ended = "select bool_or(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'live 1'"
        until(killboard, ended)
        live._threads[0].join(60)
    assert len(live.errors) == 1
    assert live.errors[0].startswith("live session 1: ")


def test_sessions_come_back_when_the_database_does(killboard: Database) -> None:
    lost: list[str] = []
    live = LiveKillmails(killboard.conninfo, lag=timedelta(0), oldest=AS_OF, pause=0.01, interrupted=lost.append)
    with live, psycopg.connect(killboard.server.conninfo(), autocommit=True) as elsewhere:
        # As a stop of the server does it: sessions are ended, and new ones are refused for a while.
        elsewhere.execute(f'alter database "{killboard.name}" allow_connections false')
        ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name ~ '^live'"
        killboard.execute(ended)
        deadline = time.monotonic() + 60
        while len(lost) < 4:  # both sessions, and their first tries to come back
            assert time.monotonic() < deadline, lost
        before = killboard.value("select count(*) from public.killmails")
        elsewhere.execute(f'alter database "{killboard.name}" allow_connections true')
        until(killboard, f"select count(*) > {before} from public.killmails")
        until(killboard, "select count(*) = 2 from pg_stat_activity where application_name ~ '^live'")
    assert live.errors == []


def test_the_program_ends_on_a_signal(killboard: Database) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "local.live", killboard.conninfo, "--lag=0", "--pause=0.01"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(killboard, "select count(*) > 600 from public.killmails")
        program.send_signal(signal.SIGTERM)
        _, said = program.communicate(timeout=60)
    finally:
        program.kill()
    assert (program.returncode, said) == (0, "")
