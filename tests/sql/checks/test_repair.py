"""What checks found is repaired when it is little, and left for a person when it is much."""

from __future__ import annotations

import pytest

from tests.fixtures.database import Database
from tests.fixtures.worlds import assert_exact, rows_of
from tests.sql.checks.claims import claim, claims, offences


def checked(database: Database) -> int:
    """Run all checks; the number of the run."""
    run = database.value("select entity_stats.start_run('check')")
    look(database, run)
    return int(run)


def look(database: Database, run: int) -> None:
    for check in claims():
        database.execute("select entity_stats.run_check(%s, %s)", [run, check.claim])


@pytest.mark.parametrize(
    "corruption",
    [
        """update public.entity_stats_cache set "killsAll" = -5, "iskLost14d" = 1e30, "lastKillTime" = now() where "entityId" < 3""",
        """update public.entity_stats_cache set "lastKillTime" = null, "lastLossTime" = '2003-01-01' where "entityId" = 2""",
        """delete from public.entity_stats_cache where "entityId" in (1, 5)""",
        """insert into public.entity_stats_cache ("entityId", "entityType", "killsAll", "lastKillTime") values (999, 'alliance', 7, now())""",
        """update public.entity_stats_cache set "iskDestroyedAll" = 'NaN', "iskLost90d" = '-Infinity' where "entityId" = 4""",
        """
        set entity_stats.capture = 'off';
        delete from public.killmails where "killmailId" % 7 = 0;
        insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId", "totalValue") values (1, now(), 55, 1);
        reset entity_stats.capture;
        """,
        """
        update public.entity_stats_cache set leads = 0 where "entityId" = 3;
        """,
    ],
    ids=["figures", "times", "missing rows", "a ghost", "no numbers", "past the triggers", "leaderboards"],
)
def test_repair(ready: Database, corruption: str) -> None:
    """Everything that any check lists is recalculated, and then all claims hold."""
    ready.execute(corruption)
    ready.execute("insert into public.killmails select * from test.killmails(700, 2)")
    ready.execute("call entity_stats.repair(%s)", [checked(ready)])
    assert offences(ready) == {}
    assert_exact(ready)


@pytest.mark.parametrize("most", [9, 10])
def test_limit(ready: Database, most: int) -> None:
    """Up to the limit all is repaired, above it nothing, with a warning."""
    ready.execute(
        """update public.entity_stats_cache set "kills90d" = 0 where "entityType" = 'character' and "entityId" <= 10"""
    )
    before = rows_of(ready, "public.entity_stats_cache")
    notices: list[str] = []
    with ready.connect() as session:
        session.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        session.execute("call entity_stats.repair(%s, %s)", [checked(ready), most])
    if most == 10:
        assert len([notice for notice in notices if notice.startswith("Repaired character")]) == 10
        assert_exact(ready)
    else:
        assert rows_of(ready, "public.entity_stats_cache") == before
        [notice] = notices
        assert "found 10 entities wrong, the limit of repair is 9: left for a person" in notice


def test_more_than_was_listed(ready: Database) -> None:
    """A check that found more rows than it kept is not taken for repaired, however few entities it lists."""
    ready.execute(
        """update public.entity_stats_cache set "kills90d" = 0 where "entityType" = 'character' and "entityId" <= 3"""
    )
    run = checked(ready)
    ready.execute(
        """update entity_stats.check_run set sample = jsonb_path_query_array(sample, '$[0]') where claim = 'windows_are_exact'"""
    )
    before = rows_of(ready, "public.entity_stats_cache")
    ready.execute("call entity_stats.repair(%s)", [run])
    assert rows_of(ready, "public.entity_stats_cache") == before


def test_a_second_look_replaces_the_first(ready: Database) -> None:
    """What has been found right again is not recalculated again; warnings and rows about no entity never are."""
    ready.execute(
        """update public.entity_stats_cache set "kills90d" = 0 where "entityType" = 'character' and "entityId" = 1"""
    )
    run = checked(ready)
    assert ready.fetch("select * from entity_stats.wrong_entities(%s)", [run]) == [("character", 1, False)]
    ready.execute("call entity_stats.repair(%s)", [run])
    look(ready, run)
    claim(ready, "a_claim", "warn", """select 5 as "entityId", 'character' as "entityType" """)
    ready.execute("select entity_stats.run_check(%s, 'a_claim')", [run])
    assert ready.fetch("select * from entity_stats.wrong_entities(%s)", [run]) == []
    before = ready.value("select count(*) from entity_stats.correction")
    ready.execute("call entity_stats.repair(%s)", [run])
    assert ready.value("select count(*) from entity_stats.correction") == before > 0
