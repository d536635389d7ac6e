"""sql/check.sql, the checks without a scheduler: what it prints and keeps, and its exit status."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.fixtures.database import SQL, WRITER, Database
from tests.fixtures.worlds import until
from tests.sql.checks.claims import claim, claims

WRONG = """update public.entity_stats_cache set "iskLost30d" = "iskLost30d" - 1 where "entityId" = 3 and "entityType" = 'character'"""

RESULTS = "select c.claim, c.severity, c.offending from entity_stats.check_run as c where c.run = (select max(r.run) from entity_stats.run as r)"


def check(database: Database, *args: str) -> subprocess.CompletedProcess[str]:
    """Run check.sql with psql, as cron would."""
    return database.psql("-f", SQL / "check.sql", *args)


def test_healthy(ready: Database) -> None:
    """Exit status 0; every claim has a line and a result, warnings included; the run is closed."""
    result = check(ready)
    assert (result.returncode, result.stderr) == (0, "")
    kept = {claim: offending for claim, _, offending in ready.fetch(RESULTS)}
    assert set(kept) == {found.claim for found in claims("fail", "warn")}
    assert {f"ok    {claim}" for claim, offending in kept.items() if not offending} <= set(result.stdout.splitlines())
    assert kept["killmails_have_values"] == 3, "the world has killmails without a usable value"
    assert "WARN  killmails_have_values: 3 rows\nEvery killmail of the last 90 days" in result.stdout
    assert ready.fetch('select operation, outcome, "finishedAt" is not null, alliances > 0 from entity_stats.run') == [
        ("check", "success", True, True)
    ]


def test_wrong(ready: Database) -> None:
    """Exit status 3; what fails is named, explained and shown, and kept for the repair."""
    ready.execute(WRONG)
    result = check(ready)
    assert result.returncode == 3
    assert "the cache does not hold what it claims: sampled_entities_are_exact, windows_are_exact" in result.stderr
    assert "FAIL  windows_are_exact: 1 row\nEvery figure of the last 90, 30 and 14 days" in result.stdout
    assert '"entityType": "character"' in result.stdout
    [(run, outcome)] = ready.fetch("select run, outcome from entity_stats.run")
    assert outcome == "failure"
    assert f"call entity_stats.repair({run});" in result.stderr
    ready.execute("call entity_stats.repair(%s)", [run])
    assert check(ready).returncode == 0


def test_full(ready: Database) -> None:
    """With full, every cell is compared: what no sample and no sum finds."""
    assert check(ready, "-v", "full=1").returncode == 0
    assert {claim for claim, severity, _ in ready.fetch(RESULTS) if severity == "full"} == {
        found.claim for found in claims("full")
    }


@pytest.mark.parametrize(
    ("statement", "claim"),
    [
        ("delete from entity_stats.state", "cache_is_ready"),
        ("update entity_stats.state set status = 'backfilling'", "cache_is_ready"),
        ("truncate public.killmails", "cache_is_ready"),
        ("alter table public.killmails disable trigger user", "cache_is_ready, killmails_are_guarded"),
    ],
)
def test_not_ready(ready: Database, statement: str, claim: str) -> None:
    ready.execute(statement)
    result = check(ready)
    assert result.returncode == 3
    assert result.stderr.splitlines()[0].endswith(f"the cache does not hold what it claims: {claim}")


def test_stale(source: Database) -> None:
    source.load(SQL / "deploy.sql")
    source.execute("call entity_stats.backfill(as_of => now() - interval '2 days')")
    result = check(source)
    assert result.returncode == 3
    assert "does not hold what it claims: cutoffs_are_fresh\n" in result.stderr


def test_not_deployed(source: Database) -> None:
    assert check(source).returncode == 3


def test_elsewhere(ready: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It needs no file but itself."""
    monkeypatch.chdir(tmp_path)
    assert check(ready).returncode == 0


def test_a_claim_of_the_site(ready: Database) -> None:
    """What is deployed is checked, and explained in its own words; what is not is refused."""
    claim(ready, "the_site_is_happy", "fail", "select 1 as nobody")
    result = check(ready)
    assert result.returncode == 3
    assert 'FAIL  the_site_is_happy: 1 row\nA claim.\n{"nobody": 1}' in result.stdout
    with pytest.raises(psycopg.errors.UndefinedTable, match="there is no claim time_window"):
        ready.execute("select entity_stats.run_check(1, 'time_window')")


def test_without_stopping_at_errors(ready: Database) -> None:
    """The exit status does not depend on -v ON_ERROR_STOP=1."""
    ready.execute(WRONG)
    assert check(ready, "-v", "ON_ERROR_STOP=0").returncode == 3


def test_operator_runs_it(ready: Database) -> None:
    """A member of entity_stats_operator needs no other right; a writer of killmails cannot."""
    name = f"monitor_of_{ready.name}"
    ready.execute(f"create role {name} login in role entity_stats_operator")
    try:
        assert check(ready, "-d", ready.server.conninfo(ready.name, user=name)).returncode == 0
    finally:
        until(ready, "select not exists (select from pg_stat_activity where usename = %s)", [name])
        ready.execute(f"drop role {name}")
    assert check(ready, "-d", ready.server.conninfo(ready.name, user=WRITER)).returncode == 3


def test_a_wrong_cache_is_kept_in_part(ready: Database) -> None:
    """All offending rows are counted, at most 500 kept."""
    run = ready.value("select entity_stats.start_run('check')")
    claim(ready, "a_claim", "fail", 'select n as "entityId" from generate_series(1, 1700) as n')
    ready.execute("select entity_stats.run_check(%s, 'a_claim')", [run])
    assert ready.fetch("select offending, jsonb_array_length(sample), sample -> 499 from entity_stats.check_run") == [
        (1700, 500, {"entityId": 500})
    ]


def test_history_is_pruned(ready: Database) -> None:
    """What is older than 90 days goes when a run is finished, results of checks with it."""
    ready.execute(
        """
        insert into entity_stats.run (operation, "startedAt") select 'check', now() - n * interval '40 days' from generate_series(1, 4) as n;
        insert into entity_stats.check_run (run, claim, severity, offending, duration) select r.run, 'a', 'fail', 0, '0' from entity_stats.run as r;
        """
    )
    assert check(ready).returncode == 0
    assert ready.value("select count(*) from entity_stats.run") == 3
    assert ready.value("select count(*) from entity_stats.check_run where claim = 'a'") == 2
