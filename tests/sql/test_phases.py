"""The phases of one period run side by side, as Airflow's mapped tasks do: a slice is built once, by whoever comes first."""

from __future__ import annotations

import threading

from tests.database import SQL, Database
from tests.invariants.world import assert_exact, until_blocked


def test_the_same_phase_twice_waits_and_finds_the_slice_built(source: Database) -> None:
    source.load(SQL / "deploy.sql")
    source.execute("call entity_stats.backfill_begin()")
    with source.connect(autocommit=False) as first, source.connect() as second:
        assert first.execute("select entity_stats.build_slice('14d', 'character', 1)").fetchone()
        later = threading.Thread(target=second.execute, args=("call entity_stats.backfill_phase('14d', 'character')",))
        later.start()
        until_blocked(source, second)
        first.commit()
        later.join()
    assert source.value("select count(*) from entity_stats.phase where period = '14d' and snapshot is not null") == 1
    source.execute("call entity_stats.backfill()")
    assert_exact(source)


def test_slices_of_years_leave_no_gap(source: Database) -> None:
    """All-time in several slices, with killmails arriving between them, is the same as in one."""
    source.load(SQL / "deploy.sql")
    source.execute("call entity_stats.backfill_begin()")
    first_year = source.value("select entity_stats.first_year()")
    source.execute("delete from entity_stats.phase where period = 'all'")
    source.execute(
        """
        insert into entity_stats.phase (period, "entityType", slice, "fromTime", "toTime")
        select s.period, t.type, s.slice, s.from_time, s.to_time
        from entity_stats.slices(%s, 2) as s cross join (values ('character'), ('corporation'), ('alliance')) as t (type)
        where s.period = 'all'
        """,
        [first_year - 2],
    )
    assert source.value("select max(slice) from entity_stats.phase") >= 2
    assert (
        source.fetch(
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
        for number in range(1, source.value("select max(slice) from entity_stats.phase") + 1):
            source.execute("select entity_stats.build_slice('all', %s, %s)", [kind, number])
            source.execute("insert into public.killmails select * from sample.live_killmails(5)")
    source.execute("call entity_stats.backfill()")
    assert_exact(source)


def test_small_tables_are_read_in_one_slice(source: Database) -> None:
    source.load(SQL / "deploy.sql")
    assert source.value("select entity_stats.years_per_slice(2007)") > 100
