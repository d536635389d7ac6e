"""The phases of one period run side by side, as Airflow's mapped tasks do: a slice is built once, by whoever comes first."""

from __future__ import annotations

import re
import threading

import pytest

from tests.database import SQL, Database
from tests.invariants.world import assert_exact, until_blocked


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


def test_small_tables_are_read_in_one_slice(source: Database) -> None:
    source.load(SQL / "deploy.sql")
    assert source.value("select entity_stats.years_per_slice(2007)") > 100
