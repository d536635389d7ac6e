"""The phases of one period run side by side, as Airflow's mapped tasks do: a slice is built once, by whoever comes first."""

from __future__ import annotations

import threading

from tests.database import SQL, Database
from tests.invariants.world import assert_exact, until_blocked


def test_the_later_phase_waits_and_finds_the_slice_built(source: Database) -> None:
    source.load(SQL / "deploy.sql")
    source.execute("call entity_stats.backfill_begin()")
    with source.connect(autocommit=False) as first, source.connect() as second:
        assert first.execute("select entity_stats.build_slice('14d', 'character', 1)").fetchone()
        later = threading.Thread(
            target=second.execute, args=("call entity_stats.backfill_phase('14d', 'corporation')",)
        )
        later.start()
        until_blocked(source, second)
        first.commit()
        later.join()
    assert source.value("select count(*) from entity_stats.phase where period = '14d' and snapshot is null") == 0
    source.execute("call entity_stats.backfill()")
    assert_exact(source)
