"""One verdict for page, summary, monitoring and DAGs: what status() says first."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.fixtures.database import SQL, Database

VERDICT = "select s.verdict, s.explanation from entity_stats.status() as s"
LATE = """
    update entity_stats.state set
        "cutoff90d" = "cutoff90d" - interval '4 days',
        "cutoff30d" = "cutoff30d" - interval '4 days',
        "cutoff14d" = "cutoff14d" - interval '4 days'
"""


def verdict(database: Database) -> tuple[str, str]:
    [(verdict, explanation)] = database.fetch(VERDICT)
    [summary] = database.fetch("select verdict, explanation from public.get_stats_cache_summary()")
    assert summary == (verdict, explanation)
    return verdict, explanation


def checked(database: Database, outcome: str | None, operation: str = "cleanup", **offending: int) -> int:
    """Record the results of claims: number of offending rows by name."""
    run: int = database.value("select entity_stats.start_run(%s)", [operation])
    for claim, rows in offending.items():
        database.execute(
            "insert into entity_stats.check_run (run, claim, severity, offending, sample, duration) values (%s, %s, 'fail', %s, %s, '1 s')",
            [run, claim, rows, json.dumps([{}] * rows)],
        )
    if outcome:
        database.execute("select entity_stats.finish_run(%s, %s)", [run, outcome])
    return run


def test_empty_building_right(source: Database) -> None:
    source.load(SQL / "deploy.sql")
    assert verdict(source) == ("empty", "nothing is built yet: call entity_stats.backfill()")
    source.execute("call entity_stats.backfill_begin()")
    slices = source.value("select count(*) from entity_stats.phase")
    assert verdict(source) == ("building", f"0 of {slices} slices are done; until all are, the views answer")
    source.execute("call entity_stats.backfill()")
    assert verdict(source) == ("right", "no claim has been checked yet")
    checked(source, "success", windows_are_exact=0)
    assert verdict(source) == ("right", "every claim that was checked holds")


def test_stale_because_of_killmails(ready: Database) -> None:
    ready.execute("truncate public.killmails")
    found, explanation = verdict(ready)
    assert found == "stale"
    assert "TRUNCATE of public.killmails" in explanation


def test_stale_by_the_clock(ready: Database) -> None:
    """Nothing has run for four days, so nothing has failed either."""
    checked(ready, "success", cutoffs_are_fresh=0)
    aged = ready.value(
        "select to_char((\"cutoff14d\" + interval '10 days') at time zone 'UTC', 'YYYY-MM-DD HH24:MI') from entity_stats.state"
    )
    ready.execute(LATE)
    ready.execute("""update entity_stats.check_run set "checkedAt" = "checkedAt" - interval '4 days'""")
    assert ready.value("""select "verifiedAt" < now() - interval '3 days' from public.get_stats_cache_summary()""")
    assert verdict(ready) == (
        "stale",
        f"14d, 30d, 90d were last aged at {aged} UTC: run entity_stats_daily_cleanup, or call entity_stats.age_windows()",
    )
    assert ready.value("select offending from entity_stats.verification() where claim = 'cutoffs_are_fresh'") == 3
    assert ready.value('select "failedClaims" from public.get_stats_cache_summary()') == 1
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="were last aged at"):
        ready.execute("select entity_stats.require_fresh_windows()")

    ready.execute("call entity_stats.age_windows()")
    assert verdict(ready)[0] == "right"
    ready.execute("select entity_stats.require_fresh_windows()")


def test_a_rebuild_explains_why_windows_stand_still(ready: Database) -> None:
    ready.execute("call entity_stats.backfill_begin(null, true)")
    ready.execute(LATE)
    found, explanation = verdict(ready)
    assert found == "stale"
    assert explanation.endswith(": they stand still until the rebuild has finished")
    ready.execute("select entity_stats.require_fresh_windows()")


def test_ahead_of_time(ready: Database) -> None:
    ready.execute('update entity_stats.state set "cutoff14d" = "cutoff14d" + interval \'1 day\'')
    assert verdict(ready) == ("stale", "14d begin later than they should: call entity_stats.backfill(rebuild => true)")


def test_suspect_names_claims_and_whether_they_are_repaired(ready: Database) -> None:
    run = checked(ready, "failure", windows_are_exact=3, windows_are_nested=1, values_are_finite=0)
    failing = "windows_are_exact (3 rows), windows_are_nested (1 row)"
    assert verdict(ready) == ("suspect", f"{failing}; nothing is repairing them: call entity_stats.repair({run})")
    later = checked(ready, None)
    assert verdict(ready) == ("suspect", f"{failing}; a cleanup is running, which repairs what it can")
    ready.execute("select entity_stats.finish_run(%s, 'failure')", [later])
    assert verdict(ready)[1].startswith(f"{failing}; nothing"), "a run that checked nothing proves nothing"


def test_the_newest_result_of_each_claim_counts(ready: Database) -> None:
    checked(ready, "failure", windows_are_exact=3, claim_of_an_earlier_version=1)
    checked(ready, "failure", operation="verify", windows_are_exact=0)
    assert verdict(ready)[1].startswith("claim_of_an_earlier_version (1 row);")
    checked(ready, "success", operation="check", windows_are_exact=0)
    assert verdict(ready) == ("right", "every claim that was checked holds")


def test_ready_since_does_not_jump_at_a_rebuild(ready: Database) -> None:
    since = ready.value('select "readyAt" from entity_stats.status()')
    ready.execute("call entity_stats.backfill(rebuild => true)")
    assert ready.value('select "readyAt" from entity_stats.status()') == since


def test_an_upgrade_gets_the_verdict(ready: Database) -> None:
    """status() and the summary had other columns."""
    ready.execute(
        """
        drop function public.get_stats_cache_summary();
        drop function entity_stats.status() cascade;
        create function entity_stats.status() returns table (status text, reason text) language sql return row('ready', null);
        create function public.get_stats_cache_summary() returns table (status text) language sql begin atomic select s.status from entity_stats.status() as s; end;
        """
    )
    ready.load(SQL / "deploy.sql")
    assert verdict(ready)[0] == "right"
