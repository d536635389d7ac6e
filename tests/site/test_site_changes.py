"""Whatever the site does to its killmails: the cache is exact, or says in one sentence what happened and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import ANY

import psycopg
import pytest

from local.server import EmbeddedServer
from tests.conftest import TIMEZONE
from tests.fixtures.database import SQL, WRITER, Database, Databases
from tests.fixtures.worlds import (
    KILLMAILS,
    WITHOUT_EVENT_TRIGGERS,
    Worlds,
    assert_exact,
    ledger_locked,
    pending,
    rows_of,
    until,
)
from tests.sql.checks.claims import claim

LOOK = "call entity_stats.look_at_source()"

#: A young killmail of character 5 in a partition that is not there yet.
OF_1999 = """
insert into {table} ("killmailId", "killmailTime", "victimCharacterId", "topAttackerAllianceId", "totalValue")
select {first} + n, '1999-03-01 00:00:00+00', 1 + n % 3, 2, n from generate_series(1, {rows}) as n
"""
P1999 = (
    "create table public.killmails_1999 partition of public.killmails for values from ('1999-01-01') to ('2000-01-01')"
)
#: A table of its own with 40 killmails, to be attached.
APART = (
    f"create table public.apart (like public.killmails); {OF_1999.format(table='public.apart', first=5000000, rows=40)}"
)
ATTACH = "alter table public.killmails attach partition public.apart for values from ('1999-01-01') to ('2000-01-01')"


def status(database: Database) -> tuple[str, str | None]:
    """Status and reason."""
    [(found, reason)] = database.fetch("select s.status, s.reason from entity_stats.status() as s")
    return str(found), reason


def assert_stale(database: Database, *said: str) -> None:
    """The cache says that it is not to be believed, why, and what to do."""
    found, reason = status(database)
    assert (found, reason is not None) == ("stale", True)
    for text in said:
        assert text in str(reason)
    # Pages hear of what was noted; what was not yet, the next look notes.
    if database.value("select exists (select from public.entity_stats_invalidation)"):
        assert not database.value("select public.is_stats_cache_populated()")


def biggest(database: Database) -> str:
    """The leaf with most killmails."""
    return "public." + str(
        database.value(
            "select k.tableoid::regclass::text from public.killmails as k group by k.tableoid order by count(*) desc limit 1"
        )
    )


def bound(database: Database, leaf: str) -> str:
    """The partition's FOR VALUES clause."""
    return str(database.value("select pg_get_expr(relpartbound, oid) from pg_class where oid = %s::regclass", [leaf]))


@contextmanager
def refused(match: str) -> Iterator[None]:
    """An operation that writes figures asks the source first."""
    with pytest.raises(psycopg.errors.InvalidTableDefinition, match=match):
        yield


def assert_nothing_is_written(database: Database, match: str) -> None:
    """Recalculation, ageing and rebuilds refuse, and the cache's rows stay."""
    before = database.value("select md5(string_agg(c::text, ',' order by c::text)) from public.entity_stats_cache as c")
    with refused(match):
        database.execute("select entity_stats.recalculate(5, 'character')")
    with refused(match):
        database.execute("call entity_stats.recalculate_active()")
    with refused(match):
        database.execute("call entity_stats.age_windows()")
    with refused(match):
        database.execute("call entity_stats.backfill(rebuild => true)")
    assert before == database.value(
        "select md5(string_agg(c::text, ',' order by c::text)) from public.entity_stats_cache as c"
    )


def test_as_deployed(ready: Database) -> None:
    """Nothing has changed: nothing is said, and looking changes nothing."""
    assert status(ready) == ("ready", None)
    for _ in range(2):
        ready.execute(LOOK)
        assert status(ready) == ("ready", None)
    assert_exact(ready)


@pytest.mark.parametrize(
    "operation",
    [
        "call entity_stats.fold_pending()",
        "call entity_stats.age_windows()",
        "call entity_stats.fill_history()",
        "call entity_stats.backfill(rebuild => true)",
        "select entity_stats.recalculate(5, 'character')",
        "select entity_stats.recount_month(now()::date)",
    ],
)
def test_who_waits_for_killmails_holds_nothing_of_ours(worlds: Worlds, operation: str) -> None:
    """The site's DDL comes from killmails to what the cache stands on: who waits for the one must not hold the other."""
    with (
        worlds.past("sub-partitioned") as past,
        past.connect(autocommit=False) as site,
        past.connect(application_name="operation") as session,
        ThreadPoolExecutor() as pool,
    ):
        site.execute("lock table public.killmails in access exclusive mode")
        running = pool.submit(session.execute, operation.encode())
        until(
            past,
            "select a.wait_event = 'PgSleep' from pg_stat_activity as a where a.pid = %s",
            [session.info.backend_pid],
        )
        held = past.fetch(
            """
            select l.relation::regclass::text from pg_locks as l
            where l.pid = %s and l.granted and l.relation in ('entity_stats.source'::regclass, 'public.entity_stats_invalidation'::regclass)
            """,
            [session.info.backend_pid],
        )
        site.rollback()
        running.result()
        assert held == []


# Columns ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["partitioned", "plain", "sub-partitioned"], indirect=True)
@pytest.mark.parametrize("alter", ["rename column solo to alone", "drop column solo"])
def test_a_column_goes(ready: Database, alter: str) -> None:
    """It may be renamed and dropped: nothing of ours hangs on it; stale says which, nothing is written meanwhile."""
    ready.execute(f"alter table public.killmails {alter}")
    assert_stale(ready, "column solo of killmails is gone: give killmails solo (boolean)")
    ready.execute(LOOK)
    assert_nothing_is_written(ready, "column solo of killmails is gone")
    if "rename" in alter:
        ready.execute("alter table public.killmails rename column alone to solo")
        assert status(ready) == ("ready", None)
        assert_exact(ready)
        return
    ready.execute("alter table public.killmails add column solo boolean")
    assert_stale(ready, "column solo of killmails is another one")
    ready.execute("call entity_stats.backfill()")
    assert_exact(ready)


@pytest.mark.parametrize("shape", ["partitioned", "plain"], indirect=True)
@pytest.mark.parametrize("value_type", ["numeric", "numeric(20, 1)"])
def test_a_column_changes_its_type(ready: Database, value_type: str) -> None:
    """Allowed; what was rounded on the way is said, and one call makes it exact."""
    ready.execute("""update public.killmails set "totalValue" = 7.25 where "totalValue" in ('Infinity', '-Infinity')""")
    ready.execute(f'alter table public.killmails alter column "totalValue" type {value_type}')
    assert_stale(ready, 'column "totalValue" of killmails was', f"and is {value_type.replace(', ', ',')}", "backfill()")
    ready.execute(LOOK)
    ready.execute("call entity_stats.backfill()")
    ready.execute("insert into public.killmails select * from test.killmails(20, 2) where \"totalValue\" < 'Infinity'")
    assert status(ready) == ("ready", None)
    assert_exact(ready)


def test_a_type_that_cannot_be_read(ready: Database) -> None:
    ready.execute("alter table public.killmails alter column solo type integer using solo::integer")
    assert_stale(ready, "column solo of killmails is integer, not boolean", "ALTER COLUMN ... TYPE")
    assert_nothing_is_written(ready, "column solo of killmails is integer")


@pytest.mark.parametrize("shape", ["partitioned", "sub-partitioned"], indirect=True)
def test_readers_still_reach_the_indexes(ready: Database) -> None:
    """The function is inlined: an entity's figures are looked up by its indexes."""
    ready.execute("set enable_seqscan = off")
    ready.execute(
        'create index on public.killmails ("victimCharacterId"); create index on public.killmails ("topAttackerCharacterId")'
    )
    plan = "\n".join(row[0] for row in ready.fetch('explain select * from public.character_stats where "entityId" = 5'))
    assert "Function Scan on killmail" not in plan
    assert "Function Scan on entity_stats" not in plan
    assert '"victimCharacterId" = ' in plan


# Another table ------------------------------------------------------------------------------------------------------------

SWAP = """
alter table public.killmails rename to killmails_before;
create table public.killmails (like public.killmails_before);
insert into public.killmails select * from public.killmails_before;
insert into public.killmails select * from test.killmails(30, 2);
delete from public.killmails where "killmailId" % 5 = 0;
"""


@pytest.mark.parametrize("event_triggers", [True, False])
def test_another_table_takes_its_place(ready: Database, event_triggers: bool) -> None:
    """Stale until it is deployed again; then it follows the name, and a backfill reads the new table."""
    if not event_triggers:
        ready.execute(WITHOUT_EVENT_TRIGGERS)
    ready.execute(SWAP)
    assert_stale(ready, "killmails is another table since the cache was deployed: deploy again")
    ready.execute(LOOK)
    assert_nothing_is_written(ready, "killmails is another table")
    if event_triggers:  # else nobody has given the operators the right to read it before it is deployed
        kills = ready.value("select s.kills from public.get_entity_stats(5, 'character') as s")
        assert kills == ready.value("""select count(*) from public.killmails where "topAttackerCharacterId" = 5""")
    ready.load(SQL / "deploy.sql")
    assert_stale(
        ready, "another table" if not event_triggers else "killmails was renamed", "call entity_stats.backfill()"
    )
    ready.execute("call entity_stats.backfill()")
    assert status(ready) == ("ready", None)
    ready.execute("insert into public.killmails select * from test.killmails(30, 3)")
    assert_exact(ready)


def test_renamed_and_renamed_back(ready: Database) -> None:
    """What was written under the other name was not captured: stale stays."""
    ready.execute("alter table public.killmails rename to elsewhere")
    assert_stale(ready, "table public.killmails is gone: rename it back")
    ready.execute("insert into elsewhere select * from test.killmails(3, 2)")
    ready.execute("alter table public.elsewhere rename to killmails")
    assert_stale(ready, "killmails was renamed")
    ready.execute("call entity_stats.backfill()")
    assert_exact(ready)


def test_dropped(ready: Database) -> None:
    ready.execute("drop table public.killmails cascade")
    assert_stale(ready, "table public.killmails is gone")
    ready.execute(LOOK)
    assert_nothing_is_written(ready, "table public.killmails is gone")


#: How the table that was killmails goes, and what is said of it.
GOES = {
    "another table": (
        SWAP + "drop table public.killmails_before cascade",
        "killmails is another table since the cache was deployed",
    ),
    "none": ("drop table public.killmails cascade", "table public.killmails is gone"),
}


@pytest.mark.parametrize(("change", "said"), GOES.values(), ids=GOES)
def test_it_goes_while_somebody_waits_for_it(ready: Database, change: str, said: str) -> None:
    """What has waited for the table that was killmails says what has become of it."""
    between_tries = "select wait_event is not distinct from 'PgSleep' from pg_stat_activity where pid = %s"
    with ready.connect(autocommit=False) as site, ready.connect() as operator, ThreadPoolExecutor() as pool:
        site.execute(change.encode())
        held = pool.submit(operator.execute, "select entity_stats.hold_source()")
        until(ready, between_tries, [operator.info.backend_pid])
        site.commit()
        with pytest.raises(psycopg.errors.InvalidTableDefinition, match=said):
            held.result()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alter table public.killmails rename column solo to alone", "column solo of killmails is gone"),
        ("alter table public.killmails drop column solo", "column solo of killmails is gone"),
        *GOES.values(),
    ],
    ids=["renamed column", "dropped column", *GOES],
)
def test_it_changes_while_killmails_are_aside(ready: Database, change: str, said: str) -> None:
    """What says so does not need their types, nor do sessions go on with those of a table that is gone."""
    said_by = (
        "select s.status, s.reason, s.pending from entity_stats.status() as s",
        "select s.status, s.explanation, s.pending from public.get_stats_cache_summary() as s",
    )
    explain = "select * from public.explain_entity_stats(1, 'alliance', 'all')"
    with ledger_locked(ready), ready.connect(user=WRITER) as writer:
        writer.execute("insert into public.killmails select * from test.killmails(5, 2, '0', '1 hour')")
    with ready.connect() as session:
        for query in said_by:
            assert session.execute(query.encode()).fetchall() == [("ready", ANY, 5)]
        session.execute(explain.encode())
        ready.execute(change)
        for query in said_by:
            [(found, reason, waiting)] = session.execute(query.encode()).fetchall()
            assert (found, waiting) == ("stale", 5)
            assert said in reason
        assert session.execute("select b.killmails from entity_stats.backlog() as b").fetchall() == [(5,)]
        if "another table" in said:
            assert len(session.execute(explain.encode()).fetchall()) > 1
    if "rename column" in change:
        ready.execute("alter table public.killmails rename column alone to solo")
        assert pending(ready) == 5
        assert_exact(ready)


# Partitions ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_triggers", [True, False])
def test_created_and_filled_in_one_transaction(ready: Database, event_triggers: bool) -> None:
    """Out of the default partition, straight into a new one: what partition managers do."""
    if not event_triggers:
        ready.execute(WITHOUT_EVENT_TRIGGERS)
    ready.execute("delete from public.killmails_default")
    ready.execute(OF_1999.format(table="public.killmails", first=6000000, rows=40))
    assert ready.value("select count(*) from public.killmails_default") == 40
    with ready.connect() as session, session.transaction():
        session.execute("create temporary table moved as select * from public.killmails_default")
        session.execute("delete from public.killmails_default")
        session.execute(P1999)
        session.execute("insert into public.killmails_1999 select * from moved")
    if not event_triggers:
        assert_stale(
            ready, "partition public.killmails_1999 came with killmails in it: call entity_stats.look_at_source()"
        )
        with refused("partition public.killmails_1999 came"):
            ready.execute("call entity_stats.age_windows()")
        ready.execute(LOOK)
    assert status(ready) == ("ready", None)
    assert_exact(ready)
    ready.execute(OF_1999.format(table="public.killmails_1999", first=7000000, rows=4))
    assert_exact(ready)


@pytest.mark.parametrize("event_triggers", [True, False])
def test_attached(ready: Database, event_triggers: bool) -> None:
    """A partition with killmails is counted at once, or by the next look."""
    if not event_triggers:
        ready.execute(WITHOUT_EVENT_TRIGGERS)
    ready.execute(APART)
    with ready.connect() as session:
        session.execute(f"begin; {ATTACH}; savepoint s; rollback to s; commit")
    if not event_triggers:
        assert_stale(ready, "partition public.apart came with killmails in it")
        ready.execute(LOOK)
    assert status(ready) == ("ready", None)
    assert_exact(ready)
    ready.execute("insert into public.apart select * from public.apart where false; delete from public.apart")
    assert_exact(ready)


def test_attach_rolled_back(ready: Database) -> None:
    ready.execute(APART)
    ready.execute(f"begin; {ATTACH}; rollback")
    assert status(ready) == ("ready", None)
    assert_exact(ready)


def test_an_empty_partition_is_no_harm(ready: Database) -> None:
    """Without event triggers it is guarded by the next look, and not spoken of before."""
    ready.execute(WITHOUT_EVENT_TRIGGERS)
    ready.execute(P1999)
    assert status(ready) == ("ready", None)
    ready.execute(LOOK)
    ready.execute(OF_1999.format(table="public.killmails_1999", first=6000000, rows=4))
    assert_exact(ready)


@pytest.mark.parametrize("event_triggers", [True, False])
def test_too_much_was_attached(ready: Database, event_triggers: bool) -> None:
    """More than can be counted at once: a backfill counts it."""
    if not event_triggers:
        ready.execute(WITHOUT_EVENT_TRIGGERS)
    ready.execute(
        f"create table public.apart (like public.killmails); {OF_1999.format(table='public.apart', first=5000000, rows=50001)}"
    )
    ready.execute(ATTACH)
    ready.execute(LOOK)
    assert_stale(ready, "partition public.apart came with killmails in it", "backfill()")
    ready.execute("call entity_stats.backfill()")
    assert status(ready) == ("ready", None)
    assert_exact(ready)


def test_came_and_lost_killmails_before_the_look(ready: Database) -> None:
    """Deleted ones cannot be told from those that never counted: a backfill counts them."""
    ready.execute(WITHOUT_EVENT_TRIGGERS)
    ready.execute(APART)
    ready.execute(ATTACH)
    ready.execute("""delete from public.killmails where "killmailId" > 5000000 and "killmailId" % 3 = 0""")
    ready.execute(
        "select pg_stat_force_next_flush()"
        if ready.value("select current_setting('server_version_num')::int >= 150000")
        else "select 1"
    )
    ready.execute(LOOK)
    if status(ready)[0] == "stale":
        ready.execute("call entity_stats.backfill()")
    assert_exact(ready)


@pytest.mark.parametrize("concurrently", ["", "concurrently"])
def test_detached(ready: Database, concurrently: str) -> None:
    """Captured like a deletion at once; what becomes of the table then is the site's."""
    leaf = biggest(ready)
    if concurrently:
        ready.execute(
            "alter table public.killmails detach partition public.killmails_default; drop table public.killmails_default"
        )
    ready.execute(f"alter table public.killmails detach partition {leaf} {concurrently}")
    assert status(ready) == ("ready", None)
    assert_exact(ready)
    ready.execute(f"drop table {leaf}")
    assert_exact(ready)


def test_detached_and_attached_again(ready: Database) -> None:
    """As after any surgery: what it holds then counts."""
    leaf = biggest(ready)
    values = bound(ready, leaf)
    with ready.connect() as session, session.transaction():
        session.execute(f"alter table public.killmails detach partition {leaf}")
        session.execute(f"""delete from {leaf} where "killmailId" % 4 = 0""")
        session.execute(f"alter table public.killmails attach partition {leaf} {values}")
    assert status(ready) == ("ready", None)
    assert_exact(ready)


@pytest.mark.parametrize("how", ["drop", "detach"])
def test_a_partition_goes_unseen(ready: Database, how: str) -> None:
    """Without event triggers: stale from the next look, with its name; a backfill makes it exact."""
    leaf = biggest(ready)
    ready.execute(WITHOUT_EVENT_TRIGGERS)
    ready.execute(f"drop table {leaf}" if how == "drop" else f"alter table public.killmails detach partition {leaf}")
    assert_stale(ready, "partition", "went: call entity_stats.backfill()")
    ready.execute(LOOK)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        ready.execute("select entity_stats.recalculate(5, 'character')")
    ready.execute("call entity_stats.backfill()")
    assert status(ready) == ("ready", None)
    assert_exact(ready)


def test_dropped_partition(ready: Database) -> None:
    """Nobody can count any more what went: stale at once."""
    leaf = biggest(ready)
    ready.execute(f"drop table {leaf}")
    assert_stale(ready, f"partition {leaf} was dropped with its killmails")
    ready.execute("call entity_stats.backfill()")
    assert_exact(ready)


def test_a_partition_that_is_gone_by_now(ready: Database) -> None:
    """Nobody can tell what was in it, and whoever asks is not refused."""
    assert ready.value("select entity_stats.is_filled(4000000000)") is None
    assert ready.value("select entity_stats.is_countable(4000000000)") is False
    assert ready.value("select entity_stats.entities_in(4000000000, 'character')") is None
    assert ready.value("select entity_stats.months_in(4000000000)") is None
    assert ready.value("select entity_stats.guard_node(4000000000)") is True
    with pytest.raises(psycopg.errors.UndefinedTable):
        ready.execute("select entity_stats.capture_table(4000000000, 1)")


def test_a_partition_goes_while_it_is_counted(ready: Database) -> None:
    """What was counted of it is wrong, and its going is not seen, because the cache does not know it yet: stale."""
    ready.execute(WITHOUT_EVENT_TRIGGERS)
    ready.execute(APART)
    ready.execute(ATTACH)
    leaf = ready.value("select 'public.apart'::regclass::oid")
    ready.execute("drop table public.apart")
    ready.execute("select entity_stats.admit(%s::oid[])", [[leaf]])
    assert_stale(ready, "came with killmails in it")
    ready.execute("call entity_stats.backfill()")
    assert_exact(ready)


def test_ddl_of_others_is_left_alone(ready: Database) -> None:
    """Tables of the site that have nothing to do with killmails; a role without any right on the cache."""
    ready.execute("drop role if exists migrator; create role migrator login; grant create on schema public to migrator")
    try:
        with ready.connect(user="migrator") as session:
            notices: list[str] = []
            session.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
            session.execute(
                "create temporary table a (n integer); create table public.b (n integer) partition by list (n)"
            )
            session.execute(
                "create table public.b_1 partition of public.b default; alter table public.b add column m integer"
            )
            session.execute("alter table public.b rename to c; drop table public.c")
            assert notices == []
    finally:
        ready.execute("drop owned by migrator; drop role migrator")
    assert status(ready) == ("ready", None)


def test_the_owner_of_killmails_needs_no_right_on_the_cache(ready: Database) -> None:
    """A migration tool's role that owns killmails and nothing of ours: its partitions are followed as well."""
    ready.execute("drop role if exists migrator; create role migrator login; grant create on schema public to migrator")
    ready.execute(
        """
        do $$
        declare node regclass;
        begin
            for node in select n.node from entity_stats.nodes() as n (node) loop
                execute format('alter table %s owner to migrator', node);
            end loop;
        end
        $$
        """
    )
    try:
        with ready.connect(user="migrator") as session, session.transaction():
            session.execute(APART)
            session.execute(ATTACH)
            session.execute(OF_1999.format(table="public.apart", first=8000000, rows=5))
        assert status(ready) == ("ready", None)
        assert_exact(ready)
    finally:
        ready.execute("reassign owned by migrator to postgres; drop owned by migrator; drop role migrator")


@pytest.mark.parametrize(
    "broken",
    [
        "alter table entity_stats.ledger rename to gone",
        "drop function entity_stats.follow_ddl(jsonb)",
        "alter table entity_stats.source rename to gone",
        "alter table entity_stats.source add check (false) not valid",
    ],
)
def test_the_sites_ddl_never_fails(ready: Database, broken: str) -> None:
    """Whatever is broken here: the site's DDL does what it does without the cache."""
    ready.execute(broken)
    ready.execute(APART)
    ready.execute(ATTACH)
    ready.execute("alter table public.killmails detach partition public.apart; drop table public.apart")
    ready.execute(P1999)


def test_the_schema_is_dropped(ready: Database) -> None:
    """The event triggers go with it."""
    ready.execute("drop schema entity_stats cascade")
    assert ready.value("select count(*) from pg_event_trigger") == 0
    ready.execute("create table public.other (n integer)")


def test_another_isolation_level(ready: Database) -> None:
    """ATTACH with a snapshot of its own: captured by nobody, so stale."""
    ready.execute(APART)
    with ready.connect(autocommit=False) as session:
        session.execute("set transaction isolation level repeatable read")
        session.execute(ATTACH)
    assert_stale(ready, "partition public.apart came with killmails in it")
    ready.execute("call entity_stats.backfill()")
    assert_exact(ready)


def test_capture_off(ready: Database) -> None:
    """An operator who has taken killmails along with capture off attaches them so, too."""
    leaf = biggest(ready)
    values = bound(ready, leaf)
    ready.execute("set entity_stats.capture = 'off'")
    ready.execute(f"alter table public.killmails detach partition {leaf}")
    ready.execute(f"alter table public.killmails attach partition {leaf} {values}")
    ready.execute("reset entity_stats.capture")
    assert status(ready) == ("ready", None)
    assert_exact(ready)


@pytest.mark.parametrize("rebuild", [False, True])
def test_during_a_build(source: Database, rebuild: bool) -> None:
    """A partition that comes or goes while slices are built: the build is exact in the end."""
    source.load(SQL / "deploy.sql")
    if rebuild:
        source.execute("call entity_stats.backfill()")
    source.execute("call entity_stats.backfill_begin(rebuild => %s)", [rebuild])
    source.execute("call entity_stats.backfill_phase('all', 'character')")
    source.execute(APART)
    source.execute(ATTACH)
    source.execute(f"alter table public.killmails detach partition {biggest(source)}")
    source.execute("call entity_stats.backfill_phase('all', 'alliance')")
    source.execute("call entity_stats.backfill(rebuild => %s)", [rebuild])
    assert status(source) == ("ready", None)
    assert_exact(source)


# Visibility, triggers, replication ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["partitioned", "plain"], indirect=True)
def test_row_level_security(ready: Database) -> None:
    """Names the policy; nothing is repaired or aged by what it shows; without it all is as before."""
    ready.execute("alter table public.killmails enable row level security")
    ready.execute("""create policy last_hour on public.killmails using ("killmailTime" < now() - interval '1 hour')""")
    assert_stale(
        ready, "row-level security of public.killmails hides killmails from the cache (policy last_hour)", "DISABLE"
    )
    ready.execute(LOOK)
    assert_nothing_is_written(ready, "row-level security")
    ready.execute("insert into public.killmails select * from test.killmails(20, 2)")
    ready.execute("alter table public.killmails disable row level security")
    assert status(ready) == ("ready", None)
    assert_exact(ready)


@pytest.mark.parametrize("shape", ["partitioned", "plain"], indirect=True)
def test_a_policy_that_operators_are_subject_to(ready: Database) -> None:
    """A policy that hides the last hour, seen by an operator who is no superuser: it is named, and nothing that would read by it writes."""
    ready.execute("drop role if exists nurse; create role nurse login in role entity_stats_operator")
    try:
        with ready.connect(user=WRITER) as writer:
            ready.execute("insert into public.killmails select * from test.killmails(30, 2, '0', '50 minutes')")
            ready.execute(
                """
                insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId")
                select 9000000 + n, now() - n * interval '2 hours', 77 from generate_series(1, 2) as n
                """
            )
            ready.execute(
                """
                alter table public.killmails enable row level security;
                create policy all_but_the_last_hour on public.killmails using ("killmailTime" < now() - interval '1 hour') with check (true)
                """
            )
            figures = rows_of(ready, "public.entity_stats_cache")
            with ready.connect(user="nurse") as nurse:
                [said] = nurse.execute("select s.status || ': ' || s.reason from entity_stats.status() as s").fetchall()
                assert "stale: row-level security" in said[0]
                assert "(policy all_but_the_last_hour)" in said[0]
                wrong, month = (ready.value("select entity_stats.start_run('check')") for _ in range(2))
                claim(ready, "a_figure", "fail", """select 5 as "entityId", 'character' as "entityType" """)
                claim(ready, "a_month", "fail", "select date '2020-01-01' as month")
                ready.execute("select entity_stats.run_check(%s, 'a_figure')", [wrong])
                ready.execute("select entity_stats.run_check(%s, 'a_month')", [month])
                for statement in (
                    f"call entity_stats.repair({wrong})",
                    f"call entity_stats.repair({month})",
                    "call entity_stats.age_windows()",
                    "select entity_stats.recalculate(5, 'character')",
                    "call entity_stats.recalculate_active()",
                    "call entity_stats.backfill(rebuild => true)",
                    "call entity_stats.fold_pending()",
                ):
                    with refused("row-level security"):
                        nurse.execute(statement.encode())
                # Where the look at the source came too early, PostgreSQL refuses to hide rows from what writes.
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                    nurse.execute("select entity_stats.move_window('14d', now() - interval '13 days')")
            assert rows_of(ready, "public.entity_stats_cache") == figures
            # Ingests go on; what would have to read the killmail before waits.
            writer.execute("insert into public.killmails select * from test.killmails(20, 3)")
            assert pending(ready) == 0
            writer.execute('delete from public.killmails where "killmailId" = 9000001')
            assert pending(ready) == 1
        ready.execute("alter table public.killmails disable row level security")
        assert status(ready) == ("ready", None)
        assert_exact(ready)
    finally:
        ready.execute("drop role nurse")


def test_a_policy_raises_in_what_writes(ready: Database) -> None:
    """Where the look at the source came too early, PostgreSQL itself refuses to hide rows."""
    functions = ready.fetch(
        """
        select p.proname from pg_proc as p
        where p.proname in ('recalculate_entities', 'move_window', 'build_slice', 'first_year', 'parties', 'is_countable', 'capture_table')
        and not 'row_security=off' = any(p.proconfig)
        """
    )
    assert functions == []


@pytest.mark.parametrize("event_triggers", [True, False])
def test_triggers_disabled_for_a_while(ready: Database, event_triggers: bool) -> None:
    """DISABLE TRIGGER ALL, load, ENABLE TRIGGER ALL: what slipped by is counted by a backfill only."""
    if not event_triggers:
        ready.execute(WITHOUT_EVENT_TRIGGERS)
    leaf = biggest(ready)
    ready.execute(f"alter table {leaf} disable trigger all")
    ready.execute(f"""delete from {leaf} where "killmailId" % 2 = 0""")
    ready.execute(f"alter table {leaf} enable trigger all")
    assert_stale(
        ready, f"triggers that capture killmails were disabled or dropped ({leaf})", "call entity_stats.backfill()"
    )
    with refused("were disabled or dropped"):
        ready.execute("call entity_stats.age_windows()")
    ready.execute(LOOK)
    assert ready.value("select count(*) from entity_stats.unguarded()") == 0
    assert_stale(ready, "were disabled or dropped", "call entity_stats.backfill()")
    ready.execute("call entity_stats.backfill()")
    assert status(ready) == ("ready", None)
    assert_exact(ready)


def test_guarding_by_hand_hides_nothing(ready: Database) -> None:
    ready.execute("alter table public.killmails disable trigger all")
    ready.execute("call entity_stats.guard_killmails()")
    assert_stale(ready, "were disabled or dropped")


def test_subscribed(ready: Database) -> None:
    """Names the subscription; once it is dropped, what it brought is counted by a backfill."""
    ready.execute("create subscription feed connection 'dbname=nowhere' publication feed with (connect = false)")
    try:
        with ready.connect(options="-c allow_system_table_mods=on") as session:
            session.execute(
                """
                insert into pg_subscription_rel (srsubid, srrelid, srsubstate)
                select s.oid, 'public.killmails'::regclass, 'r' from pg_subscription as s where s.subname = 'feed'
                """
            )
        assert_stale(ready, "logical replication", "(subscription feed)", "drop the subscription")
        ready.execute(LOOK)
        assert_nothing_is_written(ready, "logical replication")
    finally:
        ready.execute("alter subscription feed disable")
        ready.execute("alter subscription feed set (slot_name = none)")
        ready.execute("drop subscription feed")
    assert_stale(ready, "logical replication", "call entity_stats.backfill()")
    ready.execute("call entity_stats.backfill()")
    assert_exact(ready)


def test_upgraded_by_logical_replication() -> None:
    """Schema copied, everything published and subscribed with its initial copy: the copy refuses to be ready."""
    # Two servers: in one, creating a slot for a table waits for DROP SUBSCRIPTION, which waits for that slot.
    publisher = EmbeddedServer(durable=False, in_memory=True, timezone=TIMEZONE, settings={"wal_level": "logical"})
    subscriber = EmbeddedServer(durable=False, in_memory=True, timezone=TIMEZONE)
    with publisher, subscriber:
        before, after = Databases(publisher), Databases(subscriber)
        with before.site() as old, after.site() as new:
            old.execute(KILLMAILS)
            old.execute("insert into public.killmails select * from test.killmails(400, 1)")
            old.execute("call entity_stats.backfill()")
            old.execute("create publication everything for all tables")
            new.execute("truncate entity_stats.state, entity_stats.source, entity_stats.ledger cascade")
            # Everything of ours that the old one publishes, as a copied schema has it: empty.
            new.execute(f"create subscription upgrade connection '{old.conninfo}' publication everything")
            try:
                until(new, "select count(*) = 400 from public.killmails")
                until(new, "select count(*) = 1 from entity_stats.state")
                assert not new.value("select public.is_stats_cache_populated()")
            finally:
                new.execute("drop subscription upgrade")
            assert_stale(new, "killmails were copied by logical replication", "call entity_stats.backfill()")
            new.execute("call entity_stats.backfill()")
            assert_exact(new)
        after.close()
        before.close()


def test_the_operators_role_is_renamed(ready: Database) -> None:
    """Ingests go on, and so does an operator's right to switch capture off."""
    ready.execute("alter role entity_stats_operator rename to stats_admins")
    try:
        with ready.connect(user=WRITER) as writer:
            writer.execute("insert into public.killmails select * from test.killmails(20, 2)")
            writer.execute("set entity_stats.capture = 'off'")
            writer.execute("insert into public.killmails select * from test.killmails(20, 3)")
        ready.execute(
            "set entity_stats.capture = 'off'; delete from public.killmails where false; reset entity_stats.capture"
        )
        assert_exact(ready)
    finally:
        ready.execute("alter role stats_admins rename to entity_stats_operator")


# Readers, cost ------------------------------------------------------------------------------------------------------------


def test_a_restored_copy_is_as_deployed(ready: Database) -> None:
    """Where the table of the source is another than it says, its ids mean nothing, and the next look records them anew."""
    ready.execute("update entity_stats.source set self = 1, killmails = 2, nodes = '{3}', leaves = '{4}'")
    assert status(ready) == ("ready", None)
    ready.execute(LOOK)
    ready.execute("alter table public.killmails rename to elsewhere")
    assert status(ready)[0] == "stale"


def test_reads_fall_back_once_it_is_known(ready: Database) -> None:
    """get_entity_stats() reads the source when an invalidation is kept."""
    leaf = biggest(ready)
    ready.execute(WITHOUT_EVENT_TRIGGERS)
    ready.execute(f"drop table {leaf}")
    ready.execute(LOOK)
    actual: list[tuple[Any, ...]] = ready.fetch("select s.kills from public.get_entity_stats(5, 'character') as s")
    assert actual == ready.fetch("""select count(*) from public.killmails where "topAttackerCharacterId" = 5""")
