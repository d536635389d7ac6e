"""The phases of one period run side by side, as Airflow's mapped tasks do: a slice is built once, by whoever comes first."""

from __future__ import annotations

import re
import threading

import pytest

from tests.fixtures.database import SQL, Database
from tests.fixtures.worlds import assert_exact, ledger_locked, until, until_blocked

#: Divides the characters of a first build that has begun into so many parts.
IN_PARTS = """
with whole as (delete from entity_stats.phase where "entityType" = 'character' returning period, "entityType", "fromTime")
insert into entity_stats.phase (period, "entityType", slice, "fromTime", parts)
select w.period, w."entityType", n.part, w."fromTime", %s from whole as w cross join generate_series(1, %s) as n (part)
"""


@pytest.mark.parametrize(("one", "other"), [("14d", "14d"), ("14d", "all"), ("all", "14d")])
def test_the_same_type_twice_waits_and_finds_it_built(source: Database, one: str, other: str) -> None:
    """A first build fills all periods of a type at once, whichever is asked for."""
    source.load(SQL / "deploy.sql")
    source.execute("call entity_stats.backfill_begin()")
    with source.connect(autocommit=False) as first, source.connect() as second:
        assert first.execute("select entity_stats.build_slice(%s, 'character', 1)", [one]).fetchone() != (0,)
        later = threading.Thread(
            target=second.execute, args=("call entity_stats.backfill_phase(%s, 'character')", [other])
        )
        later.start()
        until_blocked(source, second)
        first.commit()
        later.join()
    assert source.fetch(
        'select "entityType", count(*), count(distinct snapshot::text) from entity_stats.phase where snapshot is not null group by 1'
    ) == [("character", 4, 1)]
    source.execute("call entity_stats.backfill()")
    assert_exact(source)


def test_the_same_slice_of_a_rebuild_twice(ready: Database) -> None:
    """Whoever comes second waits and finds it staged."""
    ready.execute("call entity_stats.backfill_begin(rebuild => true)")
    with ready.connect(autocommit=False) as first, ready.connect() as second:
        assert first.execute("select entity_stats.build_slice('14d', 'character', 1)").fetchone() != (0,)
        later = threading.Thread(target=second.execute, args=("call entity_stats.backfill_phase('14d', 'character')",))
        later.start()
        until_blocked(ready, second)
        first.commit()
        later.join()
    assert ready.value("select count(*) from entity_stats.phase where snapshot is not null") == 1
    ready.execute("call entity_stats.backfill(rebuild => true)")
    assert_exact(ready)


@pytest.mark.parametrize("rebuild", [False, True])
def test_set_aside_amid_the_phases(source: Database, rebuild: bool) -> None:
    """Killmails that could not be written to the ledger, before the build and between its phases: none is missed, none counted twice."""
    source.load(SQL / "deploy.sql")
    if rebuild:
        source.execute("call entity_stats.backfill()")

    def set_aside(seed: int) -> None:
        with ledger_locked(source), source.connect() as writer:
            writer.execute("insert into public.killmails select * from test.killmails(30, %s)", [seed])
            writer.execute('update public.killmails set "totalValue" = 77 where "killmailId" %% 7 = %s', [seed])
        assert source.value("select count(*) from entity_stats.aside") >= 30

    set_aside(2)
    if rebuild:
        assert source.fetch("select * from entity_stats.differences()") == []
    source.execute("call entity_stats.backfill_begin(rebuild => %s)", [rebuild])
    if rebuild:
        assert source.fetch("select * from entity_stats.differences()") == []
    source.execute("call entity_stats.backfill_phase('all', 'character')")
    set_aside(3)
    source.execute("call entity_stats.backfill_phase('all', 'alliance')")
    set_aside(4)
    source.execute("call entity_stats.backfill(rebuild => %s)", [rebuild])
    assert_exact(source)


def test_slices_of_years_leave_no_gap(ready: Database) -> None:
    """All-time of a rebuild in several slices, with killmails arriving between them, is the same as in one."""
    ready.execute("call entity_stats.backfill_begin(rebuild => true)")
    first_year = ready.value("select entity_stats.first_year()")
    ready.execute("delete from entity_stats.phase where period = 'all'")
    ready.execute(
        """
        insert into entity_stats.phase (period, "entityType", slice, "fromTime", "toTime")
        select s.period, t.type, s.slice, s.from_time, s.to_time
        from entity_stats.slices(%s, 2) as s cross join (values ('character'), ('corporation'), ('alliance')) as t (type)
        where s.period = 'all'
        """,
        [first_year - 2],
    )
    assert ready.value("select max(slice) from entity_stats.phase") >= 2
    assert (
        ready.fetch(
            """
        select * from (
            select "fromTime", lag("toTime") over (partition by "entityType" order by slice) as before
            from entity_stats.phase where period = 'all'
        ) as p where coalesce(before, '-infinity') <> "fromTime"
        """
        )
        == []
    )
    for kind in ("character", "corporation", "alliance"):
        for number in range(1, ready.value("select max(slice) from entity_stats.phase") + 1):
            ready.execute("select entity_stats.build_slice('all', %s, %s)", [kind, number])
            ready.execute("insert into public.killmails select * from sample.live_killmails(5)")
    done = ready.psql("-qc", "call entity_stats.backfill(rebuild => true)")
    assert re.search(r"Backfilled \d+ characters \(all-time\) in", done.stderr), done.stderr
    assert_exact(ready)


@pytest.mark.parametrize("parts", [2, 3])
def test_characters_in_parts(source: Database, parts: int) -> None:
    """Each part has its entities and no others, whatever comes, changes and goes between them."""
    source.load(SQL / "deploy.sql")
    source.execute(
        """insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId") values (1, now(), -7)"""
    )
    source.execute("call entity_stats.backfill_begin()")
    source.execute(IN_PARTS, [parts, parts])
    for part in range(1, parts + 1):
        assert source.value("select entity_stats.build_slice('90d', 'character', %s)", [part]) > 0
        source.execute("insert into public.killmails select * from test.killmails(20, %s)", [part + 1])
        source.execute('delete from public.killmails where "killmailId" %% 7 = %s', [part])
        source.execute('update public.killmails set "totalValue" = 7 where "killmailId" %% 11 = %s', [part])
    source.execute("call entity_stats.backfill()")
    assert_exact(source)


def test_who_is_done_helps(source: Database) -> None:
    """A session that has done its type goes on with parts of a type that another has begun; what nobody is at it leaves alone."""
    source.load(SQL / "deploy.sql")
    source.execute("call entity_stats.backfill_begin()")
    source.execute(IN_PARTS, [3, 3])
    with source.connect(autocommit=False) as first, source.connect() as second:
        source.execute("select entity_stats.begin_slice('all', 'character')")
        first.execute("select entity_stats.build_slice('all', 'character', 1)")
        helper = threading.Thread(target=second.execute, args=("call entity_stats.backfill_phase('all', 'alliance')",))
        helper.start()
        until(source, "select count(*) = 3 from entity_stats.phase where period = 'all' and snapshot is not null")
        first.commit()
        helper.join()
    assert source.fetch('select distinct "entityType" from entity_stats.phase where snapshot is null order by 1') == [
        ("corporation",)
    ]
    source.execute("call entity_stats.backfill()")
    assert_exact(source)


def test_small_tables_are_read_in_one_slice(source: Database) -> None:
    source.load(SQL / "deploy.sql")
    assert source.value("select entity_stats.years_per_slice(2007)") > 100


def test_times_before_eve_online_make_no_big_slices(ready: Database) -> None:
    """Years are divided by what all of them hold: thousands of empty ones would put the whole table into one slice."""
    ready.execute("""insert into public.killmails ("killmailId", "killmailTime") values (1, '4713-02-01 BC')""")
    assert ready.value("select entity_stats.first_year()") == 2003
    ready.execute("call entity_stats.backfill(rebuild => true)")
    assert_exact(ready)
