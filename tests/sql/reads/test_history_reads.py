"""Reads of the history: the same figures from rows and from killmails, whatever is closed, late or pending."""

from __future__ import annotations

import datetime as dt
from typing import Any

import psycopg
import pytest

from tests.fixtures.database import WRITER, Database
from tests.fixtures.worlds import fold_pending

TYPES = ("character", "corporation", "alliance")

#: A recount of days or months that calls nothing of the project.
RECOUNT = """
select date_trunc(%(granularity)s, p.time)::date, count(*) filter (where p.kill), count(*) filter (where not p.kill),
    coalesce(sum(p.isk) filter (where p.kill), 0), coalesce(sum(p.isk) filter (where not p.kill), 0),
    count(*) filter (where p.kill and p.solo), count(*) filter (where not p.kill and p.solo),
    count(*) filter (where p.kill and p.npc), count(*) filter (where not p.kill and p.npc)
from (
    select k."killmailTime" at time zone 'UTC' as time, s.kill, coalesce(k.solo, false) as solo, coalesce(k.npc, false) as npc,
        case when k."totalValue" is null or k."totalValue" in ('NaN', 'Infinity') then 0
            else round(k."totalValue"::double precision::numeric, 2) end as isk
    from public.killmails as k
    cross join lateral (values (true, k."topAttacker{type}Id"), (false, k."victim{type}Id")) as s (kill, id)
    where s.id = %(id)s
) as p
where (%(first)s::date is null or p.time >= date_trunc(%(granularity)s, %(first)s::date::timestamp))
    and (%(last)s::date is null or p.time < date_trunc(%(granularity)s, %(last)s::date::timestamp) + ('1 ' || %(granularity)s)::interval)
group by 1 order by 1
"""

READ = """
select date, kills, losses, "iskDestroyed", "iskLost", "soloKills", "soloLosses", "npcKills", "npcLosses"
from public.{function}(%(id)s, %(type)s, %(granularity)s, %(first)s, %(last)s)
"""

STATES = {
    "off": [],
    "closed": ["call entity_stats.fill_history()"],
    "few days are kept": ['update entity_stats.history set "keepDays" = 20', "call entity_stats.fill_history()"],
    "a month ago": ["call entity_stats.fill_history(now() - interval '33 days')"],
    "being filled": [
        "update entity_stats.history set wanted = true",
        "select entity_stats.make_room(d.today), entity_stats.open_late(d.today) from (select (now() at time zone 'UTC')::date) as d (today)",
        "select entity_stats.close_range()",
        "select entity_stats.close_range()",
    ],
    "stale": [
        "call entity_stats.fill_history()",
        "insert into public.entity_stats_invalidation (reason) values ('a test')",
    ],
    "rebuilding": ["call entity_stats.fill_history()", "call entity_stats.backfill_begin(rebuild => true)"],
}


@pytest.fixture
def shape() -> str:
    """Few partitions: plans over forty take their time."""
    return "sub-partitioned"


def disturb(database: Database) -> None:
    """Late and pending facts of every kind."""
    with database.connect(user=WRITER) as writer:
        writer.execute("insert into public.killmails select * from test.killmails(60, 2)")
        writer.execute("set entity_stats.fold = 'deferred'")
        writer.execute("insert into public.killmails select * from test.killmails(60, 3)")
        writer.execute("""delete from public.killmails where "killmailId" % 6 = 0""")


@pytest.mark.parametrize("state", list(STATES))
def test_every_entity(ready: Database, state: str) -> None:
    """Each entity, by day and month, all of it and parts: as a recount says, from the history, from killmails, from the views."""
    for statement in STATES[state]:
        ready.execute(statement)
    disturb(ready)
    today: dt.date = ready.value("select (now() at time zone 'UTC')::date")
    ranges: list[tuple[dt.date | None, dt.date | None]] = [
        (None, None),
        (today - dt.timedelta(70), today - dt.timedelta(15)),
        (today - dt.timedelta(200), None),
        (None, today - dt.timedelta(20)),
        (today, today),
    ]
    seen = 0
    for kind in TYPES:
        for entity in range(1, 13, 1 if kind == "alliance" else 5):
            for granularity in ("day", "month"):
                for first, last in ranges:
                    parameters = {"id": entity, "type": kind, "granularity": granularity, "first": first, "last": last}
                    expected = ready.fetch(RECOUNT.replace("{type}", kind.capitalize()), parameters)
                    seen += len(expected)
                    for function in ("get_entity_history", "get_entity_history_from_view"):
                        assert ready.fetch(READ.replace("{function}", function), parameters) == expected, parameters
                    if (first, last) == (None, None):
                        view = ready.fetch(
                            f"""
                            select {granularity}, kills, losses, "iskDestroyed", "iskLost", "soloKills", "soloLosses", "npcKills", "npcLosses"
                            from public.entity_{granularity}s where "entityId" = %s and "entityType" = %s order by 1
                            """,
                            [entity, kind],
                        )
                        if granularity == "day" and "few" in state:
                            kept = ready.value('select "daysFrom" from entity_stats.history')
                            expected = [row for row in expected if row[0] >= kept]
                        assert view == expected
    assert seen > 500


@pytest.mark.parametrize("state", list(STATES))
def test_first_times(ready: Database, state: str) -> None:
    """The first kill and the first loss, also when the one before was deleted, or an earlier one came late."""
    for statement in STATES[state]:
        ready.execute(statement)
    disturb(ready)
    for kind in TYPES:
        for entity in range(14):
            expected: list[tuple[Any, ...]] = ready.fetch(
                f"""
                select
                    min("killmailTime") filter (where "topAttacker{kind.capitalize()}Id" = %(id)s) at time zone 'UTC',
                    min("killmailTime") filter (where "victim{kind.capitalize()}Id" = %(id)s) at time zone 'UTC'
                from public.killmails
                """,
                {"id": entity},
            )
            found = ready.fetch("select * from public.get_entity_first_times(%s, %s)", [entity, kind])
            assert found == (expected if entity and expected != [(None, None)] else [])


def test_zeros(ready: Database) -> None:
    """Every date comes once, in order, to the end of the range or today; the others are zeros."""
    ready.execute("call entity_stats.fill_history()")
    months = ready.fetch(
        "select date, kills, efficiency from public.get_entity_history(999, 'alliance', 'month', '2024-11-05', '2025-02-01', zeros => true)"
    )
    assert months == [
        (dt.date(2024, 11, 1), 0, 0),
        (dt.date(2024, 12, 1), 0, 0),
        (dt.date(2025, 1, 1), 0, 0),
        (dt.date(2025, 2, 1), 0, 0),
    ]
    assert ready.fetch("select * from public.get_entity_history(999, 'alliance', zeros => true)") == []
    days = ready.fetch("select date, kills, losses from public.get_entity_history(1, 'alliance', 'day', zeros => true)")
    today: dt.date = ready.value("select (now() at time zone 'UTC')::date")
    assert [day for day, _, _ in days] == [days[0][0] + dt.timedelta(n) for n in range((today - days[0][0]).days + 1)]
    assert [day for day in days if day[1] or day[2]] == ready.fetch(
        "select date, kills, losses from public.get_entity_history(1, 'alliance', 'day')"
    )


def test_several(ready: Database) -> None:
    """Several entities in the order asked for, each as by itself."""
    ready.execute("call entity_stats.fill_history()")
    together = ready.fetch("select * from public.get_multiple_entity_history(array[3, 1, 2], 'alliance', 'month')")
    one_by_one = [
        row for n in (3, 1, 2) for row in ready.fetch("select * from public.get_entity_history(%s, 'alliance')", [n])
    ]
    assert together == one_by_one != []


@pytest.mark.parametrize("call", ["(1, 'ship')", "(1, null)", "(1, 'alliance', 'week')", "(1, 'alliance', null)"])
def test_wrong_arguments(ready: Database, call: str) -> None:
    for function in ("get_entity_history", "get_entity_history_from_view"):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as error:
            ready.execute(f"select * from public.{function}{call}")
        assert error.value.diag.message_hint


def test_adds_up(ready: Database) -> None:
    """Months add up to all-time, whatever is pending."""
    ready.execute("call entity_stats.fill_history(now() - interval '3 days')")
    disturb(ready)
    fold_pending(ready)
    for kind in TYPES:
        assert ready.fetch(
            """
            select c."entityId", c."killsAll", c."lossesAll", c."iskDestroyedAll", c."iskLostAll", c."soloKillsAll"
            from public.entity_stats_cache as c where c."entityType" = %s and c."killsAll" + c."lossesAll" > 0 order by 1
            """,
            [kind],
        ) == ready.fetch(
            """
            select "entityId", sum(kills), sum(losses), sum("iskDestroyed"), sum("iskLost"), sum("soloKills")
            from public.entity_months where "entityType" = %s group by "entityId" order by 1
            """,
            [kind],
        )
