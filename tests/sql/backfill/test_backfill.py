"""The backfill: exact whatever happens to killmails meanwhile, resumed where it was killed, invisible until it is done."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg
import pytest

from tests.fixtures.database import SQL, WRITER, Database
from tests.fixtures.worlds import (
    CUTOFFS,
    MISFILED,
    WITHOUT_EVENT_TRIGGERS,
    assert_exact,
    deadlocks,
    killed,
    pending,
    until,
    until_blocked,
)
from tests.fixtures.writers import LEVELS, Writers

SHAPES = pytest.mark.parametrize("shape", ["partitioned", "plain", "sub-partitioned"], indirect=True)

TYPES = ("character", "corporation", "alliance")
PHASES = [(period, kind) for period in ("all", "90d", "30d", "14d") for kind in TYPES]

#: One killmail: its id, age, victim and attacker.
KILL = """
insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
values (%s, now() - %s::interval, %s, %s, 100)
"""

#: The answer to every question that readers may ask.
ANSWERS = """
select p.period, s.*
from (
    select 'character' as kind, generate_series(1, 12) as id
    union all select 'corporation', generate_series(1, 6)
    union all select 'alliance', generate_series(1, 3)
) as e
cross join unnest(array['all', '90d', '30d', '14d']) as p (period)
cross join lateral {function}(e.id, e.kind, p.period) as s
order by 3, 2, 1
"""


@pytest.fixture
def shape(request: pytest.FixtureRequest) -> str:
    """Few partitions, unless a test is parametrised: plans over forty take their time."""
    return str(getattr(request, "param", "sub-partitioned"))


@pytest.fixture
def deployed(source: Database) -> Database:
    """A small world with everything deployed and an empty cache."""
    source.load(SQL / "deploy.sql")
    source.execute(CUTOFFS)
    return source


def phases(database: Database) -> None:
    """Stage all phases that are not staged."""
    for period, kind in PHASES:
        database.execute("call entity_stats.backfill_phase(%s, %s)", [period, kind])


def finish_rest(database: Database) -> None:
    """Finish in a session of its own."""
    with database.connect() as session:
        session.execute("call entity_stats.backfill_finish()")


def leaf(database: Database) -> str:
    """The leaf with most killmails."""
    return str(
        database.value(
            "select k.tableoid::regclass::text from public.killmails as k group by k.tableoid order by count(*) desc, 1 limit 1"
        )
    )


@SHAPES
def test_says_what_it_does(deployed: Database) -> None:
    """The lines of the specification's expected output, with the true numbers."""
    done = deployed.psql("-qc", "call entity_stats.backfill()")
    assert done.returncode == 0, done.stderr
    said = [line.split("NOTICE:  ")[1] for line in done.stderr.splitlines() if "NOTICE:  " in line]
    counts = dict(deployed.fetch('select "entityType", count(*) from public.entity_stats_cache group by 1'))
    for period, kind in PHASES:
        count = deployed.value(
            f"""
            select count(*) from public.entity_stats_cache
            where "entityType" = %s and "kills{period.capitalize()}" + "losses{period.capitalize()}" > 0
            """,
            [kind],
        )
        name = period.replace("all", "all-time")
        assert any(re.fullmatch(rf"Backfilled {count} {kind}s \({name}\) in [\d,]+ ms", line) for line in said), said
    assert re.fullmatch(r"Backfilling as of \d{4}-.*", said[0])
    assert re.fullmatch(rf"Backfill complete: {sum(counts.values())} entities in [\d,.]+ s", said[-1])
    assert_exact(deployed)


@SHAPES
@pytest.mark.parametrize("levels", [("read committed",), LEVELS], ids=["read committed", "all levels"])
def test_amid_writers(deployed: Database, levels: tuple[str, ...]) -> None:
    """Killmails come, move, change and go all the while; a small partition is emptied between two phases."""
    leaves = deployed.value("select cardinality(entity_stats.leaves())")
    with Writers(deployed, levels=levels, deferred=True) as writers, deployed.connect() as session:
        session.execute("call entity_stats.backfill_begin()")
        for number, (period, kind) in enumerate(PHASES):
            writers.wait_for(3)
            session.execute("call entity_stats.backfill_phase(%s, %s)", [period, kind])
            if number == 5 and leaves > 1:
                with deployed.connect(user=WRITER) as emptier:
                    emptier.execute(f"truncate {leaf(deployed)}".encode())
        writers.wait_for(10)
        session.execute("call entity_stats.backfill_finish()")
        writers.wait_for(10)
    assert_exact(deployed)
    assert deadlocks(deployed) == 0


def test_whole_backfill_amid_writers(deployed: Database) -> None:
    """The same by the one procedure, with readers who must never see anything but the truth of their snapshot."""
    query = f"""
        select a.* from ({ANSWERS.format(function="public.get_entity_stats")}) as a
        except
        select v.* from ({ANSWERS.format(function="public.get_entity_stats_from_view")}) as v
    """
    with Writers(deployed) as writers, ThreadPoolExecutor() as pool, deployed.connect() as session:
        backfill = pool.submit(session.execute, "call entity_stats.backfill()")
        looks = 0
        while not backfill.done() or looks < 5:
            with deployed.connect() as reader:
                assert reader.execute(query.encode()).fetchall() == []
            looks += 1
        backfill.result()
        writers.wait_for(10)
        assert deployed.value("select public.is_stats_cache_populated()")
    assert pending(deployed) == 0
    assert deployed.oracle() == []
    assert_exact(deployed)


@pytest.mark.parametrize("rebuild", [False, True], ids=["first", "rebuild"])
def test_progress_of_all_types_and_periods(ready: Database, source: Database, rebuild: bool) -> None:
    """Slices and totals grow up to all of them, an end is foretold on the way, and nothing is left to tell once it is ready."""
    database = ready if rebuild else source
    database.load(SQL / "deploy.sql")
    progress = """
        select p.stage, p.done, p.slices, p.percent, p.staged, p."lastSliceAt", p."estimatedEnd" from entity_stats.progress() as p
    """
    assert database.fetch(progress) == []
    database.execute("call entity_stats.backfill_begin(rebuild => %s)", [rebuild])
    [(stage, before, slices, *none)] = database.fetch(progress)
    assert (stage, before, none) == ("building", 0, [0, 0, None, None])
    staged = 0
    for period, kind in PHASES:
        database.execute("call entity_stats.backfill_phase(%s, %s)", [period, kind])
        done = database.value("select count(*) from entity_stats.phase where snapshot is not null")
        [(stage, shown, total, percent, gathered, last, end)] = database.fetch(progress)
        assert (shown, total) == (done, slices)
        assert abs(percent - 100 * Decimal(done) / slices) <= Decimal("0.05")
        assert gathered == database.value("select sum(entities) from entity_stats.phase where snapshot is not null")
        # A first build does a type's four periods at once; a rebuild each by itself.
        assert (done > before, gathered > staged) == ((True, True) if rebuild or period == "all" else (False, False))
        assert stage == ("finishing" if done == slices else "building")
        assert (end is None) == (done == slices)
        assert end is None or end >= last
        before, staged = done, gathered
    assert before == slices
    database.execute("call entity_stats.backfill_finish()")
    assert database.fetch(progress) == []


def test_numbers_do_not_jump(deployed: Database) -> None:
    """Readers get the same answers from the first phase on, with the cutoffs that the cache will have."""
    deployed.execute("call entity_stats.backfill_begin(as_of => now() - interval '20 days')")
    truth = deployed.fetch(ANSWERS.format(function="public.get_entity_stats"))
    assert len(truth) > 50
    for period, kind in PHASES:
        deployed.execute("call entity_stats.backfill_phase(%s, %s)", [period, kind])
        assert not deployed.value("select public.is_stats_cache_populated()")
    assert deployed.fetch(ANSWERS.format(function="public.get_entity_stats")) == truth
    assert deployed.value("select entity_stats.finish_loading()")
    assert deployed.fetch(ANSWERS.format(function="public.get_entity_stats")) == truth
    assert deployed.value("select entity_stats.open_cache()")
    assert deployed.value("select public.is_stats_cache_populated()")
    assert deployed.fetch(ANSWERS.format(function="public.get_entity_stats")) == truth
    assert_exact(deployed)


def test_ready_is_not_built_again(ready: Database) -> None:
    with pytest.raises(
        psycopg.errors.ObjectNotInPrerequisiteState, match="ready: there is nothing to backfill"
    ) as error:
        ready.execute("call entity_stats.backfill()")
    assert "rebuild => true" in str(error.value.diag.message_hint)
    assert_exact(ready)


def test_rebuild_files_anew(ready: Database) -> None:
    """Whatever somebody has done to the lists of leaders, a rebuild mends it."""
    ready.execute("update public.entity_stats_cache set leads = leads & 5; update entity_stats.mark set kills = 0")
    assert len(ready.fetch(MISFILED)) > 10
    ready.execute("call entity_stats.backfill(rebuild => true)")
    assert_exact(ready)
    assert ready.value("select count(*) from entity_stats.mark as m where m.complete and m.kills > 0") == 12


def test_who_refuses_can_be_ended_as_the_hint_says(deployed: Database) -> None:
    """All of them, where several build side by side."""
    deployed.execute("call entity_stats.backfill_begin()")
    builders = [deployed.connect(autocommit=False) for _ in range(2)]
    for builder, entity_type in zip(builders, ("character", "alliance"), strict=True):
        builder.execute("select entity_stats.build_slice('30d', %s, 1)", [entity_type])
    with pytest.raises(psycopg.errors.LockNotAvailable) as error:
        deployed.execute("call entity_stats.backfill()")
    [command] = re.findall(r"select pg_terminate_backend[^.]*", str(error.value.diag.message_hint))
    assert deployed.fetch(command) == [(True,), (True,)]
    for builder in builders:
        with pytest.raises(psycopg.OperationalError):
            builder.execute("select")
        builder.close()
    until(deployed, "select count(*) = 0 from pg_locks as l where l.locktype = 'advisory'")
    deployed.execute("call entity_stats.backfill()")
    assert_exact(deployed)


def test_second_is_refused(deployed: Database) -> None:
    """While one session builds, no other begins, stages the same or finishes; side by side they stage different types."""
    deployed.execute("call entity_stats.backfill_begin()")
    with (
        deployed.connect(autocommit=False) as one,
        deployed.connect(autocommit=False) as two,
        deployed.connect() as three,
    ):
        one.execute("select entity_stats.build_slice('90d', 'character', 1)")
        two.execute("select entity_stats.build_slice('30d', 'alliance', 1)")
        for refused in (
            "call entity_stats.backfill()",
            "call entity_stats.backfill(rebuild => true)",
            "call entity_stats.backfill_finish()",
        ):
            with pytest.raises(psycopg.errors.LockNotAvailable, match="another session is building") as error:
                three.execute(refused)
            assert "it resumes" in str(error.value.diag.message_hint)
        with pytest.raises(psycopg.errors.LockNotAvailable, match=f"backend .*{one.info.backend_pid}"):
            three.execute("call entity_stats.backfill()")
        one.commit()
        two.commit()
        three.execute("call entity_stats.backfill()")
    assert_exact(deployed)


def test_writers_go_on_beside_a_phase(deployed: Database) -> None:
    """A phase, however long it takes, stops no writer, and no writer stops it."""
    deployed.execute("call entity_stats.backfill_begin()")
    with (
        deployed.connect(autocommit=False) as writer,
        deployed.connect(autocommit=False) as builder,
        deployed.connect(user=WRITER, options="-c lock_timeout=1ms") as other,
    ):
        writer.execute('delete from public.killmails where "killmailId" <= 1000010')
        builder.execute("select entity_stats.build_slice('90d', 'character', 1)")
        other.execute("insert into public.killmails select * from test.killmails(20, 2)")
        other.execute('update public.killmails set "totalValue" = 5 where "killmailId" between 1000011 and 1000020')
        other.execute('delete from public.killmails where "killmailId" between 1000015 and 1000025')
        builder.commit()
        writer.commit()
    deployed.execute("call entity_stats.backfill()")
    assert_exact(deployed)


def test_killed_in_a_phase(deployed: Database) -> None:
    """A backend that dies after a phase wrote rows loses that type alone: what was done is not done again."""
    deployed.execute("call entity_stats.backfill_begin()")
    with killed(deployed) as session:
        for period, kind in PHASES[:2]:
            session.execute("call entity_stats.backfill_phase(%s, %s)", [period, kind])
        session.execute("begin")
        assert session.execute("select entity_stats.build_slice('90d', 'alliance', 1)").fetchall() != [(0,)]
    done = deployed.fetch("select p::text from entity_stats.phase as p where snapshot is not null order by 1")
    assert len(done) == 8
    said = deployed.psql("-qc", "call entity_stats.backfill()")
    assert said.returncode == 0
    assert re.search(rf"Resuming the backfill as of .* begun at .*: {len(done)} of \d+ slices are done", said.stderr)
    after = deployed.fetch("select p::text from entity_stats.phase as p where snapshot is not null order by 1")
    assert [row for row in after if row in done] == done
    assert_exact(deployed)


@pytest.mark.parametrize("loaded", [False, True])
def test_killed_in_the_finish(deployed: Database, loaded: bool) -> None:
    """A backend that dies in the finish: what it has committed is not written again, the cache not ready, then exact."""
    deployed.execute("call entity_stats.backfill_begin()")
    phases(deployed)
    with Writers(deployed) as writers:
        with killed(deployed) as session:
            if loaded:
                session.execute("select entity_stats.finish_loading()")
            writers.wait_for(5)
            session.execute("begin")
            session.execute("select entity_stats.finish_loading(), entity_stats.absorb_some(1000)")
        assert deployed.value('select "finishedTo" is not null from entity_stats.state') == loaded
        assert deployed.value("select s.status = 'backfilling' from entity_stats.status() as s")
        writers.wait_for(5)
        with deployed.connect() as session:
            notices: list[str] = []
            session.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
            session.execute("call entity_stats.backfill()")
        slices = deployed.value("select count(*) from entity_stats.phase")
        assert any(f"{slices} of {slices} slices are done" in line for line in notices)
        writers.wait_for(5)
    assert_exact(deployed)


def test_killed_again_and_again(deployed: Database) -> None:
    """Whenever it is killed, the next call goes on."""
    with Writers(deployed) as writers, ThreadPoolExecutor() as pool:
        for done in (1, 5, 9, 12, 12):
            with killed(deployed) as session:
                backfill = pool.submit(session.execute, "call entity_stats.backfill()")
                until(
                    deployed,
                    "select count(*) filter (where snapshot is not null) >= %s or"
                    " (select status = 'ready' from entity_stats.state) from entity_stats.phase",
                    [done],
                )
            assert backfill.exception() is None or isinstance(backfill.exception(), psycopg.OperationalError)
            writers.wait_for(3)
        if not deployed.value("select public.is_stats_cache_populated()"):
            with deployed.connect() as session:
                session.execute("call entity_stats.backfill()")
        writers.wait_for(3)
    assert_exact(deployed)


STEPS = ["begin", "phases", "loaded", "absorbed", "ready"]


@pytest.mark.parametrize("commit_after", STEPS)
@pytest.mark.parametrize("how", ["read committed", "repeatable read", "deferred", "large", "prepared"])
def test_in_flight(deployed: Database, how: str, commit_after: str) -> None:
    """Transactions that were open when the backfill began are in the cache once, whenever they commit."""
    with deployed.connect(user=WRITER) as writer:
        if how in ("repeatable read", "deferred"):
            writer.execute(
                f"begin isolation level {'repeatable read' if how == 'repeatable read' else 'read committed'}".encode()
            )
        else:
            writer.execute("begin")
        if how == "deferred":
            writer.execute("set local entity_stats.fold = 'deferred'")
        rows = 600 if how == "large" else 30
        writer.execute("insert into public.killmails select * from test.killmails(%s, 2)", [rows])
        writer.execute('delete from public.killmails where "killmailId" between 1000001 and 1000020')
        writer.execute(
            """
            update public.killmails set "killmailTime" = "killmailTime" - interval '50 days', "victimCharacterId" = 3
            where "killmailId" between 1000021 and 1000040
            """
        )
        if how == "prepared":
            writer.execute("prepare transaction 'in flight'")

        for step in STEPS:
            if step == "begin":
                deployed.execute("call entity_stats.backfill_begin()")
            elif step == "phases":
                phases(deployed)
            elif step == "loaded":
                deployed.value("select entity_stats.finish_loading()")
            elif step == "absorbed":
                deployed.value("select entity_stats.absorb_some(1000)")
            else:
                finish_rest(deployed)
            if step == commit_after:
                writer.execute("commit prepared 'in flight'" if how == "prepared" else "commit")
    assert_exact(deployed)


def test_captured_while_the_cache_opens(deployed: Database) -> None:
    """A transaction that commits between the last look at the ledger and the beginning of folds is not forgotten."""
    deployed.execute("call entity_stats.backfill_begin()")
    phases(deployed)
    with deployed.connect(autocommit=False) as writer, deployed.connect() as finisher, ThreadPoolExecutor() as pool:
        writer.execute("set local entity_stats.fold = 'deferred'")
        writer.execute(KILL, [1, "1 minute", 50, 51])
        finisher.execute("select entity_stats.finish_loading()")
        writer.execute("lock table entity_stats.state in share mode")
        finish = pool.submit(finisher.execute, "select entity_stats.open_cache()")
        until_blocked(deployed, finisher)
        writer.commit()
        finish.result()
    assert_exact(deployed)


def test_truncated_in_between(deployed: Database) -> None:
    """TRUNCATE of all ends the build with a reason; called again, it starts anew."""
    deployed.execute("call entity_stats.backfill_begin()")
    phases(deployed)
    with deployed.connect(user=WRITER) as writer:
        writer.execute("truncate public.killmails")
        writer.execute("insert into public.killmails select * from test.killmails(50, 2)")
    for step in ("backfill_phase('all', 'character')", "backfill_finish()"):
        if "phase" in step:
            deployed.execute("update entity_stats.phase set snapshot = null where period = 'all'")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="TRUNCATE of public") as error:
            deployed.execute(f"call entity_stats.{step}")
        assert "starts from scratch" in str(error.value.diag.message_hint)
    said = deployed.psql("-qc", "call entity_stats.backfill()")
    assert "Backfilling as of" in said.stderr
    assert "TRUNCATE of public.killmails" in said.stderr
    assert_exact(deployed)


def test_truncated_while_it_finishes(deployed: Database) -> None:
    """The same when part of the cache is written already, and with killmails on their way."""
    deployed.execute("call entity_stats.backfill_begin()")
    phases(deployed)
    deployed.execute("select entity_stats.finish_loading()")
    with deployed.connect(user=WRITER) as writer:
        writer.execute("truncate public.killmails")
        writer.execute("insert into public.killmails select * from test.killmails(50, 2)")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="TRUNCATE"):
            deployed.execute("call entity_stats.backfill_finish()")
        writer.execute("insert into public.killmails select * from test.killmails(50, 3)")
        deployed.execute("call entity_stats.backfill()")
        writer.execute("insert into public.killmails select * from test.killmails(50, 4)")
    assert_exact(deployed)


@pytest.mark.parametrize("shape", ["partitioned", "sub-partitioned"], indirect=True)
@pytest.mark.parametrize("when", ["phases", "finish"])
@pytest.mark.parametrize("surgery", ["detach", "attach", "replace"])
def test_partitions_change_in_between(deployed: Database, surgery: str, when: str) -> None:
    """Killmails that come or go with their partition leave no fact: the build starts anew instead of being wrong."""
    deployed.execute(WITHOUT_EVENT_TRIGGERS)
    node = leaf(deployed)
    [(parent, bound)] = deployed.fetch(
        "select i.inhparent::regclass::text, pg_get_expr(c.relpartbound, c.oid)"
        " from pg_inherits as i inner join pg_class as c on i.inhrelid = c.oid where c.oid = %s::regclass",
        [node],
    )
    detach, attach = (
        f"alter table {parent} detach partition {node}",
        f"alter table {parent} attach partition {node} {bound}",
    )
    if surgery == "attach":
        deployed.execute(detach)
    deployed.execute("call entity_stats.backfill_begin()")
    phases(deployed)
    if when == "finish":
        deployed.execute("select entity_stats.finish_loading()")
    deployed.execute(attach if surgery == "attach" else detach)
    if surgery == "replace":
        deployed.execute(
            f"create table replacement (like {node} including all); insert into replacement select * from {node} limit 5"
        )
        deployed.execute(f"alter table {parent} attach partition replacement {bound}")

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=r"partition .* (went|came with killmails)"):
        deployed.execute("call entity_stats.backfill_finish()")
    said = deployed.psql("-qc", "call entity_stats.backfill()")
    assert "the interrupted backfill cannot go on: partition" in said.stderr
    assert_exact(deployed)


@pytest.mark.parametrize("shape", ["partitioned"], indirect=True)
def test_empty_partitions_are_no_harm(deployed: Database) -> None:
    """A site makes next month's partition while a backfill runs: it goes on."""
    deployed.execute("call entity_stats.backfill_begin()")
    phases(deployed)
    assert (
        deployed.value("select sample.create_partitions(now() + interval '1 year', now() + interval '14 months')") > 0
    )
    deployed.execute("call entity_stats.backfill_finish()")
    assert_exact(deployed)


def test_half_filled_on_another_server(deployed: Database) -> None:
    """Snapshots of another server mean nothing here: a restored half-filled cache is built anew and says so."""
    deployed.execute("call entity_stats.backfill_begin()")
    phases(deployed)
    deployed.execute('update entity_stats.state set "systemIdentifier" = 1')
    said = deployed.psql("-qc", "call entity_stats.backfill()")
    assert said.returncode == 0
    assert "it was begun on another server" in said.stderr
    assert_exact(deployed)


def test_read_committed_only(deployed: Database) -> None:
    """In other isolation levels it would read what was before it waited: refused with a hint."""
    with deployed.connect(options="-c default_transaction_isolation=repeatable\\ read") as session:
        with pytest.raises(psycopg.errors.InvalidTransactionState, match="READ COMMITTED") as error:
            session.execute("call entity_stats.backfill()")
        assert error.value.diag.message_hint
    deployed.execute("call entity_stats.backfill()")
    assert_exact(deployed)


def test_not_from_the_future(deployed: Database) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="lies in the future") as error:
        deployed.execute("call entity_stats.backfill(as_of => now() + interval '1 hour')")
    assert error.value.diag.message_hint
    assert deployed.value("select s.status from entity_stats.status() as s") == "empty"


def test_steps_out_of_order(deployed: Database) -> None:
    """Each step says what has to come before it."""
    with pytest.raises(
        psycopg.errors.ObjectNotInPrerequisiteState, match="no backfill of character in period all"
    ) as error:
        deployed.execute("call entity_stats.backfill_phase('all', 'character')")
    assert "backfill_begin()" in str(error.value.diag.message_hint)
    deployed.execute("call entity_stats.backfill_finish()")
    assert deployed.value("select s.status from entity_stats.status() as s") == "empty"
    deployed.execute("call entity_stats.backfill_begin()")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="slices of the backfill are not done"):
        deployed.execute("call entity_stats.backfill_finish()")
    deployed.execute("call entity_stats.backfill()")
    assert_exact(deployed)


@SHAPES
def test_nothing_to_fill(deployed: Database) -> None:
    """Without killmails the cache is ready and empty, and live from then on."""
    deployed.execute("delete from public.killmails")
    deployed.execute("call entity_stats.backfill()")
    assert deployed.value("select count(*) from public.entity_stats_cache") == 0
    assert_exact(deployed)
    deployed.execute(KILL, [1, "1 minute", 50, 51])
    assert deployed.value("select count(*) from public.entity_stats_cache") == 2
    assert_exact(deployed)


def test_extreme_values(deployed: Database) -> None:
    """The first and last ids, the oldest times: built, rebuilt, removed from a cache that is invalid, built again."""
    ids = [-9223372036854775808, -5, 9223372036854775806, 9223372036854775807]
    deployed.execute(KILL, [1, "1 minute", ids[3], ids[1]])
    deployed.execute(KILL, [2, "15 years", ids[2], ids[0]])
    there = 'select count(*) from public.entity_stats_cache where "entityId" = any(%s)'
    deployed.execute("call entity_stats.backfill()")
    assert deployed.value(there, [ids]) == 4
    deployed.execute("call entity_stats.backfill(rebuild => true)")
    assert deployed.value(there, [ids]) == 4
    deployed.execute("""update public.entity_stats_cache set "killsAll" = 7 where "entityId" = any(%s)""", [ids])
    for entity in ids:
        assert deployed.fetch("select * from entity_stats.recalculate(%s, 'character')", [entity]) != []
    deployed.execute("call entity_stats.recalculate_active()")
    assert_exact(deployed)
    deployed.execute("truncate public.killmails")
    deployed.execute(KILL, [3, "1 minute", ids[3], ids[0]])
    deployed.execute("call entity_stats.backfill()")
    assert deployed.value(there, [ids]) == 2
    assert_exact(deployed)


def test_rebuild_goes_on_after_the_last_id(ready: Database) -> None:
    """Killed when the range with the last of all ids was written, it takes nothing twice."""
    ready.execute(KILL, [1, "1 minute", 9223372036854775807, 5])
    ready.execute("call entity_stats.backfill_begin(rebuild => true)")
    phases(ready)
    ready.execute("select entity_stats.open_cache()")
    assert ready.value("select entity_stats.finish_range(100000)") == 0
    ready.execute(KILL, [2, "1 minute", 9223372036854775807, 5])
    ready.execute("call entity_stats.backfill()")
    assert_exact(ready)


def test_deletion_of_an_older_transaction(deployed: Database) -> None:
    """Facts are taken in the order of capture: a deletion after the arrival of what it deletes, also by an older transaction."""
    deployed.execute(KILL, [1, "2 days", 50, 51])
    deployed.execute("call entity_stats.backfill_begin()")
    phases(deployed)
    deployed.value("select entity_stats.finish_loading()")
    with deployed.connect(user=WRITER, autocommit=False) as older:
        older.execute("select pg_current_xact_id()")
        deployed.execute(KILL, [2, "1 minute", 50, 51])
        older.execute('delete from public.killmails where "killmailId" = 2')
        older.commit()
    while deployed.value("select entity_stats.absorb_some(1)") > 0:
        pass
    deployed.execute("call entity_stats.backfill_finish()")
    assert_exact(deployed)


def test_leaves_nothing_behind(ready: Database) -> None:
    """The space of the staging is given back, and no fact is kept."""
    assert ready.value("select count(*) from entity_stats.staged") == 0
    assert ready.value("select count(*) from entity_stats.ledger") == 0
    assert ready.value("select to_regclass('entity_stats.staged_entity') is null")
