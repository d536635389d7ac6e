"""Recalculation and rebuild: what is wrong becomes right while killmails keep arriving, and what is right stays so."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.fixtures.database import WRITER, Database
from tests.fixtures.worlds import WITHOUT_EVENT_TRIGGERS, assert_exact, deadlocks, killed, pending, until_blocked
from tests.fixtures.writers import LEVELS, Writers

TYPES = ("character", "corporation", "alliance")

KILL = """
insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
values (%s, now() - %s::interval, %s, %s, 100)
"""

#: Ways to spoil the cache, each cell of it being wrong afterwards or a row missing or too many.
SPOIL = """
update public.entity_stats_cache set "killsAll" = "killsAll" + 3, "iskLost30d" = "iskLost30d" - 0.01 where "entityId" % 3 = 0;
update public.entity_stats_cache set "lastKillTime" = '2100-01-01', "lastLossTime" = null where "entityId" % 3 = 1;
delete from public.entity_stats_cache where "entityId" % 3 = 2;
insert into public.entity_stats_cache ("entityId", "entityType", "kills14d") values (4711, 'alliance', 5);
"""

DIFFERENCES = "select * from entity_stats.differences()"


@pytest.fixture
def shape(request: pytest.FixtureRequest) -> str:
    """Few partitions, unless a test is parametrised: plans over forty take their time."""
    return str(getattr(request, "param", "sub-partitioned"))


def test_one_entity(ready: Database) -> None:
    """It returns and keeps the cells that it changed, and nothing when all was right."""
    ready.execute(
        """update public.entity_stats_cache set "kills30d" = "kills30d" + 5 where "entityId" = 3 and "entityType" = 'character'"""
    )
    [(column, cached, actual)] = ready.fetch(
        """select c."column", c.cached, c.actual from entity_stats.recalculate(3, 'character') as c"""
    )
    assert (column, int(cached) - int(actual)) == ("kills30d", 5)
    assert ready.fetch('select "column", cached, actual from entity_stats.correction') == [(column, cached, actual)]
    assert ready.fetch("select * from entity_stats.recalculate(3, 'character')") == []
    assert ready.fetch("select * from entity_stats.recalculate(999999, 'character')") == []
    assert ready.value("""select count(*) from public.entity_stats_cache where "entityId" = 999999""") == 0
    assert_exact(ready)


def test_beside_the_beginning_of_a_rebuild(ready: Database) -> None:
    """Whoever is recalculated holds the gate and reads the staging; a rebuild empties the staging and closes the gate: neither waits for ever."""
    with (
        ready.connect(autocommit=False) as holder,
        ready.connect(options="-c statement_timeout=20s") as recalculating,
        ready.connect(options="-c statement_timeout=20s") as building,
        ThreadPoolExecutor() as pool,
    ):
        holder.execute(
            """select from public.entity_stats_cache where "entityId" = 3 and "entityType" = 'character' for update"""
        )
        recalculation = pool.submit(recalculating.execute, "select entity_stats.recalculate(3, 'character')")
        until_blocked(ready, recalculating)
        as_of = ready.value('select s."asOf" from entity_stats.status() as s')
        rebuild = pool.submit(building.execute, "select entity_stats.prepare_build(%s, true)", [as_of])
        with pytest.raises(TimeoutError):
            rebuild.result(timeout=2)
        holder.commit()
        recalculation.result()
        rebuild.result()
    ready.execute("call entity_stats.backfill(rebuild => true)")
    assert_exact(ready)
    assert deadlocks(ready) == 0


def test_history_keeps_every_correction(ready: Database) -> None:
    """The same cell, twice in one transaction: two entries."""
    with ready.connect(autocommit=False) as session:
        for _ in range(2):
            session.execute(
                """update public.entity_stats_cache set "killsAll" = 0 where "entityId" = 3 and "entityType" = 'character'"""
            )
            assert len(session.execute("select * from entity_stats.recalculate(3, 'character')").fetchall()) == 1
    assert ready.value("select count(*) from entity_stats.correction") == 2
    assert_exact(ready)


def test_refusals(ready: Database) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="unknown entity type: fleet"):
        ready.execute("select entity_stats.recalculate(3, 'fleet')")
    with ready.connect() as session:
        session.execute("begin isolation level repeatable read")
        with pytest.raises(psycopg.errors.InvalidTransactionState, match="READ COMMITTED only"):
            session.execute("select entity_stats.recalculate(3, 'character')")
        session.execute("rollback")
    ready.execute("truncate public.killmails")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="not ready"):
        ready.execute("select entity_stats.recalculate(3, 'character')")


def test_everything_spoilt(ready: Database) -> None:
    """recalculate_active() mends all of it, and says how much."""
    ready.execute(SPOIL)
    assert ready.fetch(DIFFERENCES) != []
    said = ready.psql("-qc", "call entity_stats.recalculate_active(days => 400)")
    assert said.returncode == 0, said.stderr
    for kind in TYPES:
        assert f"{kind}s active since" in said.stderr
    assert ready.value("select count(*) from entity_stats.correction") > 20
    assert_exact(ready)


def test_hundreds_amid_writers(ready: Database) -> None:
    """Recalculation of rows that are written all the time, missing ones too: no difference, no deadlock."""
    ready.execute(SPOIL)
    with Writers(ready, levels=LEVELS, deferred=True) as writers, ready.connect() as session:
        session.execute("call entity_stats.recalculate_active(days => 400)")
        for number in range(200):
            session.execute(
                "select count(*) from entity_stats.recalculate_entities(%s, array[%s, 12, %s])",
                [TYPES[number % 3], number % 13 + 1, number % 5 + 1],
            )
            if number % 20 == 0:
                with ready.connect() as spoiler:
                    spoiler.execute(
                        """delete from public.entity_stats_cache where "entityId" = 7 and "entityType" = 'character'"""
                    )
                session.execute("select count(*) from entity_stats.recalculate(7, 'character')")
        writers.wait_for(10)
    assert_exact(ready)
    assert deadlocks(ready) == 0


def test_missing_row_and_its_first_killmail(ready: Database) -> None:
    """Ingest of an entity's first killmail, committed while its recalculation waits."""
    with ready.connect(user=WRITER) as writer, ready.connect() as other, ThreadPoolExecutor() as pool:
        writer.execute("begin")
        writer.execute(KILL, [1, "1 minute", 50, 51])
        writer.execute("set constraints all immediate")
        recalculated = pool.submit(other.execute, "select * from entity_stats.recalculate(51, 'character')")
        recalculated.result()
        writer.execute("commit")
    assert ready.value("""select "killsAll" from public.entity_stats_cache where "entityId" = 51""") == 1
    assert_exact(ready)


def test_locks_in_the_order_of_folds(ready: Database) -> None:
    """Existing and missing rows are locked in one order: a fold that holds the first and wants the last is no deadlock."""
    hold = """select from public.entity_stats_cache where "entityId" = %s and "entityType" = 'character' for update"""
    with (
        ready.connect(user=WRITER) as writer,
        ready.connect() as recalculation,
        ready.connect(autocommit=False) as one,
        ready.connect(autocommit=False) as two,
        ThreadPoolExecutor() as pool,
    ):
        for number, entity in enumerate((20, 25, 30)):
            writer.execute(KILL, [1 + number, "1 minute", entity, entity])
        writer.execute("begin; set local entity_stats.fold = 'deferred'")
        writer.execute(KILL, [10, "1 minute", 50, 50])
        writer.execute("commit")
        one.execute(hold, [25])
        two.execute(hold, [30])
        recalculated = pool.submit(
            recalculation.execute, "select * from entity_stats.recalculate_entities('character', array[20, 25, 50])"
        )
        until_blocked(ready, recalculation)
        writer.execute("begin")
        for number, entity in enumerate((20, 30, 50)):
            writer.execute(KILL, [20 + number, "1 minute", entity, entity])
        folded = pool.submit(writer.execute, "commit")
        until_blocked(ready, writer)
        one.commit()
        two.commit()
        recalculated.result()
        folded.result()
    assert deadlocks(ready) == 0
    assert_exact(ready)


def test_newest_killmail_deleted_before_it_is_folded(ready: Database) -> None:
    """A deletion waits behind the pending arrival of what it deletes: the time does not come back with it."""
    with ready.connect(user=WRITER) as writer:
        for number in range(3):
            writer.execute("begin isolation level repeatable read")
            writer.execute(KILL, [number, f"{9 - number} seconds", 501 + number, 601 + number])
            writer.execute("commit")
        writer.execute('delete from public.killmails where "killmailId" in (1, 2)')
    assert pending(ready) == 5
    assert ready.fetch(DIFFERENCES) == []
    assert_exact(ready)


def test_rebuild_of_a_ready_cache(ready: Database) -> None:
    """Under four writers and four readers: exact before, in every snapshot meanwhile, and after."""
    stop = threading.Event()
    looks: list[int] = []

    def look() -> None:
        seen = 0
        with ready.connect() as reader:
            while not stop.is_set():
                assert reader.execute(DIFFERENCES).fetchall() == []
                assert reader.execute("select public.is_stats_cache_populated()").fetchall() == [(True,)]
                seen += 1
                stop.wait(0.1)  # leaves some of the machine to the rebuild
        looks.append(seen)

    with (
        Writers(ready, levels=LEVELS, deferred=True) as writers,
        ThreadPoolExecutor() as pool,
        ready.connect() as session,
    ):
        readers = [pool.submit(look) for _ in range(4)]
        try:
            writers.wait_for(4)
            session.execute("call entity_stats.backfill(rebuild => true)")
            writers.wait_for(4)
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    assert min(looks) > 0
    assert_exact(ready)
    assert deadlocks(ready) == 0


def test_rebuild_mends(ready: Database) -> None:
    """A spoilt cache is right after a rebuild amid writers."""
    ready.execute(SPOIL)
    with Writers(ready, levels=LEVELS, deferred=True), ready.connect() as session:
        session.execute("call entity_stats.backfill(rebuild => true)")
    assert_exact(ready)


def test_windows_wait_for_a_rebuild(ready: Database) -> None:
    """Ageing beside a rebuild is told to wait; a rebuild that died is finished without saying rebuild again; then it ages."""
    with killed(ready) as session:
        session.execute("call entity_stats.backfill_begin(rebuild => true)")
        session.execute("begin")
        session.execute("select entity_stats.build_slice('90d', 'character', 1)")
    assert ready.value("select s.rebuilding from entity_stats.status() as s")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="a rebuild is running") as error:
        ready.execute("call entity_stats.age_windows()")
    assert "rebuild => true" in str(error.value.diag.message_hint)
    assert_exact(ready)
    ready.execute("call entity_stats.backfill()")
    assert not ready.value("select s.rebuilding from entity_stats.status() as s")
    ready.execute("call entity_stats.age_windows()")
    assert_exact(ready)


@pytest.mark.parametrize("days", [0, 20, 200])
def test_rebuild_moves_windows(ready: Database, days: int) -> None:
    """A rebuild as of an earlier time lowers the cutoffs, nested and exact at every commit."""
    ready.execute("call entity_stats.backfill(as_of => now() - %s * interval '24 hours', rebuild => true)", [days])
    assert ready.value(
        "select bool_and(cutoff between now() - (%s + days) * interval '24 hours' - interval '1 hour'"
        " and now() - (%s + days) * interval '24 hours') from entity_stats.time_window where days is not null",
        [days, days],
    )
    assert_exact(ready)
    ready.execute("call entity_stats.backfill(rebuild => true)")
    assert_exact(ready)


def test_pending_before_and_during_a_rebuild(ready: Database) -> None:
    """Facts that were pending when it began, and are folded before, within or after its finish, count once."""
    with ready.connect(user=WRITER) as writer:
        writer.execute("set entity_stats.fold = 'deferred'")
        writer.execute("insert into public.killmails select * from test.killmails(30, 2)")
        ready.execute("call entity_stats.backfill_begin(rebuild => true)")
        writer.execute("insert into public.killmails select * from test.killmails(30, 3)")
        for period in ("all", "90d", "30d", "14d"):
            for kind in TYPES:
                ready.execute("call entity_stats.backfill_phase(%s, %s)", [period, kind])
            writer.execute('delete from public.killmails where "killmailId" % 7 = 3')
            ready.execute("select * from entity_stats.fold_some(10, '{}')")
            assert ready.fetch(DIFFERENCES) == []
        for _ in range(3):
            ready.execute("select entity_stats.finish_range(20)") if ready.value(
                "select to_regclass('entity_stats.staged_entity') is not null"
            ) else ready.execute('create index staged_entity on entity_stats.staged ("entityId")')
            writer.execute('update public.killmails set "totalValue" = 3.125 where "killmailId" % 11 = 3')
            ready.execute("select * from entity_stats.fold_some(10, '{}')")
            assert ready.fetch(DIFFERENCES) == []
        ready.execute("call entity_stats.backfill_finish()")
    assert_exact(ready)


def test_way_back(ready: Database) -> None:
    """After TRUNCATE, after a restore elsewhere in the middle of a rebuild, after surgery on partitions."""
    ready.execute("truncate public.killmails")
    ready.execute("insert into public.killmails select * from test.killmails(100, 2)")
    ready.execute("call entity_stats.backfill()")
    assert_exact(ready)

    ready.execute("call entity_stats.backfill_begin(rebuild => true)")
    ready.execute('update entity_stats.state set "systemIdentifier" = 1')
    ready.execute("call entity_stats.backfill()")
    assert_exact(ready)

    ready.execute(WITHOUT_EVENT_TRIGGERS)
    ready.execute("alter table public.killmails_new detach partition public.killmails_new_1")
    assert ready.fetch(DIFFERENCES) != []
    ready.execute("call entity_stats.backfill(rebuild => true)")
    assert_exact(ready)


def test_partition_goes_under_a_rebuild(ready: Database) -> None:
    """The rebuild starts anew."""
    ready.execute(WITHOUT_EVENT_TRIGGERS)
    ready.execute("call entity_stats.backfill_begin(rebuild => true)")
    ready.execute("alter table public.killmails_new detach partition public.killmails_new_1")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=r"partition .* went"):
        ready.execute("call entity_stats.backfill_finish()")
    assert ready.value("select public.is_stats_cache_populated()")
    ready.execute("call entity_stats.backfill()")
    assert_exact(ready)


def test_recalculates_amid_a_rebuild(ready: Database) -> None:
    """Both write what is right."""
    ready.execute(SPOIL)
    with Writers(ready) as writers, ready.connect() as session:
        session.execute("call entity_stats.backfill_begin(rebuild => true)")
        session.execute("call entity_stats.recalculate_active(days => 400)")
        writers.wait_for(3)
        session.execute("call entity_stats.backfill()")
    assert_exact(ready)
