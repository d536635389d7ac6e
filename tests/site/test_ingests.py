"""Whatever a site does to its database, killmails commit, and the cache is exact once what is pending is folded."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Any

import psycopg
import pytest
from pglast.parser import scan
from psycopg.sql import Identifier

from tests.fixtures.database import SQL, WRITER, Database
from tests.fixtures.worlds import WITHOUT_EVENT_TRIGGERS, assert_exact, deadlocks, pending, until_blocked
from tests.sql.checks.claims import offences
from tests.sql.reads.test_reads import everything

INSERT = "insert into public.killmails select * from test.killmails({rows}, {seed})"
#: A killmail of 77, killed by 88: nobody else has these ids.
KILL = """
insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
values ({number}, now() - interval '{age}', 77, 88, 5)
"""


def kill(number: int, age: str = "1 hour") -> str:
    """The INSERT of one killmail."""
    return KILL.format(number=number, age=age)


@pytest.fixture
def writer(ready: Database) -> Iterator[psycopg.Connection[Any]]:
    """A session that may only write killmails, in autocommit."""
    with ready.connect(user=WRITER) as session:
        yield session


def warnings(session: psycopg.Connection[Any]) -> list[str]:
    """What the server warns the session of from now on."""
    heard: list[str] = []
    session.add_notice_handler(
        lambda notice: heard.append(str(notice.message_primary)) if notice.severity_nonlocalized == "WARNING" else None
    )
    return heard


def run_all(session: psycopg.Connection[Any], *statements: str) -> None:
    """Run statements one by one."""
    for statement in statements:
        session.execute(statement.encode())


# What others do with the tables -----------------------------------------------------------------------------------------


def test_everything_is_published(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """FOR ALL TABLES, as change capture and upgrades do it: of each of our tables rows can be updated and deleted."""
    ready.execute("call entity_stats.fill_history()")
    ready.execute("create publication p for all tables")
    for seed, rows in enumerate((501, 499, 20), 2):
        writer.execute(INSERT.format(rows=rows, seed=seed))
    assert pending(ready) == 501
    ready.execute("call entity_stats.fold_pending()")
    writer.execute('update public.killmails set "totalValue" = 3 where "killmailId" % 50 = 0')
    writer.execute('delete from public.killmails where "killmailId" % 60 = 0')
    assert_exact(ready)
    ready.execute("call entity_stats.backfill(rebuild => true)")
    ready.execute("call entity_stats.age_windows()")
    ready.execute("call entity_stats.recalculate_active()")
    ready.execute("call entity_stats.look_at_source()")
    assert_exact(ready)
    # Also those that nothing has updated here.
    assert (
        ready.fetch(
            """
            select c.oid::regclass
            from pg_class as c
            where
                (c.relnamespace = 'entity_stats'::regnamespace or c.oid = 'public.entity_stats_cache'::regclass)
                and c.relkind in ('r', 'p') and c.relpersistence = 'p' and c.relreplident <> 'f'
                and not exists (select from pg_index as i where i.indrelid = c.oid and i.indisprimary)
            """
        )
        == []
    )


@pytest.mark.parametrize(
    "write",
    [
        INSERT.format(rows=20, seed=2),
        'delete from public.killmails where "killmailId" % 7 = 0',
        'update public.killmails set solo = not solo where "killmailId" % 7 = 0',
    ],
    ids=["insert", "delete", "update"],
)
def test_read_only_at_the_end(ready: Database, writer: psycopg.Connection[Any], write: str) -> None:
    """SET TRANSACTION READ ONLY before COMMIT: the fold may not write any more, the killmails are in."""
    before = ready.value("select md5(string_agg(k::text, ',' order by k::text)) from public.killmails as k")
    run_all(writer, "begin", write, "set transaction read only", "commit")
    assert before != ready.value("select md5(string_agg(k::text, ',' order by k::text)) from public.killmails as k")
    assert pending(ready) > 0
    assert ready.fetch("select * from entity_stats.differences()") == []
    assert_exact(ready)


def names(database: Database) -> set[str]:
    """Every name in those functions of ours that read killmails themselves, where columns of the site's could be mistaken for it."""
    texts = [
        row[0] for row in database.fetch("select pg_get_functiondef(f) from entity_stats.deployed_functions() as f")
    ]
    return {
        token
        for text in texts
        if re.search(r"public\.killmails|arrived|gone|from only", text)
        for body in [text, *re.findall(r"\$(?:function|procedure)\$(.*)\$(?:function|procedure)\$", text, re.DOTALL)]
        for token in identifiers(body)
    }


def identifiers(text: str) -> Iterator[str]:
    """The names in SQL; not what is in strings and comments, nor keywords that are never a name."""
    for token in scan(text):
        if token.name == "IDENT" or token.kind in ("UNRESERVED_KEYWORD", "COL_NAME_KEYWORD"):
            yield text.encode()[token.start : token.end + 1].decode().strip('"')


@pytest.mark.parametrize("shape", ["plain", "sub-partitioned"], indirect=True)
def test_columns_of_any_name(ready: Database) -> None:
    """Columns that are called as whatever our SQL calls something: nothing is mistaken, before and after another deployment."""
    # Rows so wide take seconds to be compiled, each time.
    ready.execute(f"alter database {ready.name} set jit = off")
    ready.close()
    added = names(ready)
    assert {"sign", "half", "fact", "isk", "few", "now_state", "entityId"} <= added
    known = "select a.attname from pg_attribute as a where a.attrelid = 'public.killmails'::regclass"
    added -= {row[0] for row in ready.fetch(known)}
    columns = ", ".join(f"add column {Identifier(name).as_string()} text" for name in sorted(added))
    ready.execute(f"alter table public.killmails {columns}")
    columns = '"killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "topAttackerAllianceId", "totalValue", solo'
    with ready.connect(user=WRITER) as writer:
        for seed in (2, 4):
            for number, rows in enumerate((30, 520), seed):
                writer.execute(
                    f"insert into public.killmails ({columns}) select {columns} from test.killmails({rows}, {number})"
                )
            writer.execute('update public.killmails set "totalValue" = 5 where "killmailId" % 9 = 0')
            writer.execute('delete from public.killmails where "killmailId" % 10 = 0')
            assert ready.fetch("select * from entity_stats.aside") == []
            ready.execute("call entity_stats.look_at_source()")
            ready.execute("call entity_stats.fill_history()")
            ready.execute("select entity_stats.recount_month(now()::date - 30)")
            ready.execute("call entity_stats.backfill(rebuild => true)")
            ready.execute("select entity_stats.recalculate(5, 'character')")
            assert ready.value("select s.status from entity_stats.status() as s") == "ready"
            assert offences(ready) == {}
            offences(ready, ["warn"])
            for call in everything():
                ready.execute(f"select * from {call}")
            assert_exact(ready)
            if seed == 2:
                ready.load(SQL / "deploy.sql")


def test_vacuum_full_is_queued(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """VACUUM FULL of any of our tables, queued behind an open transaction, holds up whoever comes after it: killmails commit, facts are kept."""
    ready.execute("call entity_stats.fill_history()")
    tables = [
        row[0]
        for row in ready.fetch(
            """
            select c.oid::regclass::text
            from pg_class as c
            where
                c.relkind = 'r'
                and (c.relnamespace = 'entity_stats'::regnamespace or c.oid = 'public.entity_stats_cache'::regclass)
                and not c.relispartition
            order by 1
            """
        )
    ]
    assert {"entity_stats.ledger", "entity_stats.gate", "entity_stats.state"} <= set(tables)
    for turn, table in enumerate(tables):
        with ThreadPoolExecutor() as pool, ready.connect() as vacuum, ready.connect(autocommit=False) as holder:
            holder.execute(f"lock table {table} in access share mode")
            queued = pool.submit(vacuum.execute, f"vacuum full {table}")
            until_blocked(ready, vacuum)
            young, old = kill(9000001 + 2 * turn), kill(9000002 + 2 * turn, age="200 days")
            run_all(writer, "begin", young, old, "commit")
            holder.rollback()
            queued.result()
    assert ready.value('select count(*) from public.killmails where "killmailId" > 9000000') == 2 * len(tables)
    assert ready.fetch("select * from public.entity_stats_invalidation") == []
    assert_exact(ready)


def test_the_schema_is_dropped(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """Every way to write goes on without the cache, with a warning for what we would have captured; a deployment begins anew."""
    leaf = ready.value(
        "select k.tableoid::regclass::text from public.killmails as k group by 1 order by count(*) desc limit 1"
    )
    ready.execute("drop schema entity_stats cascade")
    heard = warnings(writer)
    before = ready.value("select count(*) from public.killmails")
    writer.execute(INSERT.format(rows=20, seed=2))
    writer.execute(INSERT.format(rows=600, seed=3))
    writer.execute(
        f"insert into {leaf} select (k).* from (select k from {leaf} as k limit 1) as o on conflict do nothing"
    )
    assert len(heard) == 3
    assert all("killmails were not captured" in warning for warning in heard)
    writer.execute('update public.killmails set "totalValue" = 5 where "killmailId" % 9 = 0')
    assert writer.execute('delete from public.killmails where "killmailId" > 3000000').rowcount == 600
    assert ready.value("select count(*) from public.killmails") == before + 20
    writer.execute(f"truncate {leaf}")

    ready.load(SQL / "deploy.sql")
    ready.execute("call entity_stats.backfill()")
    writer.execute(INSERT.format(rows=20, seed=4))
    assert_exact(ready)


def test_the_schema_is_nearly_dropped(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """Without event triggers all our tables are locked while somebody drops it; when that is rolled back, the cache says what it missed."""
    ready.execute(WITHOUT_EVENT_TRIGGERS)
    heard = warnings(writer)
    with (
        ready.connect(autocommit=False) as dropping,
        ThreadPoolExecutor() as pool,
        writer.transaction(),
    ):
        writer.execute("lock table public.killmails in row exclusive mode")
        dropped = pool.submit(dropping.execute, "drop schema entity_stats cascade")
        until_blocked(ready, dropping)
        writer.execute(kill(9000002))
        dropping.cancel()
        with pytest.raises(psycopg.errors.QueryCanceled):
            dropped.result()
        dropping.rollback()
    assert heard == []
    [(status, reason)] = ready.fetch("select status, reason from entity_stats.status()")
    assert (status, reason.split(":")[0]) == ("stale", "killmails were not captured")
    ready.execute("call entity_stats.backfill()")
    assert_exact(ready)


@pytest.mark.parametrize(
    "statement", ["drop schema entity_stats cascade", "drop owned by entity_stats_operator cascade"]
)
@pytest.mark.parametrize(
    "before",
    [
        ["lock table {other} in row exclusive mode"],  # as while a statement writes
        ["savepoint taken_back", "{insert}", "rollback to taken_back"],  # keeps the lock of a sequence, and no other
    ],
    ids=["written", "taken back"],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_schema_is_dropped_beside_writers(ready: Database, statement: str, before: list[str], turned: bool) -> None:
    """Who writes to one partition goes on with another, in either order of theirs: nobody is a deadlock's victim."""
    leaves = [
        leaf for (leaf,) in ready.fetch("select distinct k.tableoid::regclass::text from public.killmails as k limit 2")
    ]
    other, leaf = leaves[turned], leaves[not turned]
    insert = f"""
    insert into {leaf} ("killmailId", "killmailTime", "victimCharacterId")
    select 9000001, k."killmailTime", 77 from {leaf} as k limit 1
    """
    with (
        ThreadPoolExecutor() as pool,
        ready.connect(options="-c deadlock_timeout=200ms") as dropping,
        ready.connect(autocommit=False, options="-c deadlock_timeout=200ms") as writer,
    ):
        heard = warnings(writer)
        for step in before:
            writer.execute(step.format(leaf=leaf, other=other, insert=insert).encode())
        dropped = pool.submit(dropping.execute, statement)
        until_blocked(ready, dropping)
        sleep(2)  # until who drops has looked for a deadlock, or waits as long as ever
        writer.execute(insert.encode())
        writer.commit()
        dropped.result()
    assert heard == []
    assert deadlocks(ready) == 0
    ready.load(SQL / "deploy.sql")  # the rights that belong to no database are back


def test_a_partition_that_comes_meanwhile_is_locked_with_its_table(ready: Database) -> None:
    """Who waits for the table has asked for its partitions before; whoever drops our schema would take the new one late."""
    with (
        ThreadPoolExecutor() as pool,
        ready.connect(autocommit=False) as locking,
        ready.connect(autocommit=False) as site,
    ):
        site.execute(
            "create table public.killmails_new partition of public.killmails for values from ('1999-01-01') to ('1999-02-01')"
        )
        waiting = pool.submit(locking.execute, "select entity_stats.lock_with_retries('drop', 'public.killmails')")
        until_blocked(ready, locking)
        site.commit()
        waiting.result()
        modes = ready.fetch(
            "select l.mode from pg_locks as l where l.pid = %s and l.relation = 'public.killmails_new'::regclass and l.granted",
            [locking.info.backend_pid],
        )
    assert modes == [("AccessExclusiveLock",)]


def test_restored_without_the_schema(ready: Database, databases: Any, tmp_path: Path) -> None:
    """pg_dump -n public, restored elsewhere: what is missing there costs a warning, until it is deployed."""
    archive = tmp_path / "dump"
    server = ready.server
    subprocess.run(
        [server.bin / "pg_dump", "-n", "public", "-Fc", f"--file={archive}", f"--dbname={ready.conninfo}"], check=True
    )
    name = f"restored_{ready.name}"
    ready.execute(f"create database {name}")
    copy = Database(server, name)
    try:
        restored = subprocess.run(
            [server.bin / "pg_restore", f"--dbname={copy.conninfo}", archive],
            capture_output=True,
            text=True,
            check=False,
        )
        assert 'schema "entity_stats" does not exist' in restored.stderr
        with copy.connect(user=WRITER) as writer:
            heard = warnings(writer)
            writer.execute(kill(9000001))
            writer.execute('update public.killmails set "totalValue" = 5 where "killmailId" = 9000001')
            writer.execute('delete from public.killmails where "killmailId" = 9000001')
            writer.execute(kill(9000001))
        assert len(heard) == 2
        assert all("killmails were not captured" in warning for warning in heard)
        assert copy.value("select count(*) from public.killmails") == 401
    finally:
        copy.close()
        ready.execute(f"drop database {name} with (force)")


# The end of a transaction ---------------------------------------------------------------------------------------------------

#: SET CONSTRAINTS ALL IMMEDIATE in the midst of a transaction, twice within one statement; %s: an INSERT.
IMMEDIATE = {
    "statements": ("set constraints all immediate", "{0}", "{1}", "set constraints all immediate"),
    "a block": ("do $do$ begin set constraints all immediate; {0}; {1}; set constraints all immediate; end $do$",),
    "a function": ("select test.twice()",),
}


@pytest.mark.parametrize("how", list(IMMEDIATE))
@pytest.mark.parametrize("prepared", [False, True])
def test_constraints_made_immediate(ready: Database, writer: psycopg.Connection[Any], how: str, prepared: bool) -> None:
    """The fold runs at the end all the same: until then, and in a prepared transaction, others fold the same entities."""
    ready.execute(
        f"""
        create function test.twice() returns void language plpgsql as $$
        begin set constraints all immediate; {kill(9000001)}; {kill(9000002)}; set constraints all immediate; end $$
        """
    )
    with ready.connect(user=WRITER) as other:
        run_all(writer, "begin", *(step.format(kill(9000001), kill(9000002)) for step in IMMEDIATE[how]))
        other.execute(kill(9000011))
        assert pending(ready) == 0
        # More statements, after which the site's own locks are waited for.
        run_all(writer, kill(9000003), 'delete from public.killmails where "killmailId" = 9000001')
        other.execute(kill(9000012))
        assert pending(ready) == 0
        if prepared:
            writer.execute("prepare transaction 'immediate'")
            other.execute(kill(9000013))
            assert pending(ready) == 0
            writer.execute("commit prepared 'immediate'")
            assert pending(ready) == 4
        else:
            writer.execute("commit")
            assert pending(ready) == 0
    assert deadlocks_of(ready, writer) == 0
    assert_exact(ready)


def deadlocks_of(database: Database, *sessions: psycopg.Connection[Any]) -> int:
    """Deadlocks so far, when these sessions are done."""
    for session in sessions:
        session.close()
    return deadlocks(database)


def test_a_deferred_unique_constraint_behind_the_killmail(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """The site's deferred trigger inserts a key that somebody else has inserted, who then writes the same entity: the fold comes after."""
    ready.execute(
        f"""
        create table public.seen (place bigint unique deferrable initially deferred);
        grant select, insert on public.seen to {WRITER};
        create function public.see() returns trigger language plpgsql as $$
        begin insert into public.seen values (new."solarSystemId"); return null; end $$;
        create constraint trigger see after insert on public.killmails deferrable initially deferred
        for each row when (new."solarSystemId" = 4711) execute function public.see();
        """
    )
    with ThreadPoolExecutor() as pool, ready.connect(user=WRITER) as other:
        run_all(other, "begin", "insert into public.seen values (4711)")
        run_all(
            writer,
            "begin",
            kill(9000001).replace('"totalValue")', '"totalValue", "solarSystemId")').replace(", 5)", ", 5, 4711)"),
        )
        commit = pool.submit(writer.execute, "commit")
        until_blocked(ready, writer)
        run_all(other, kill(9000002), "commit")
        with pytest.raises(psycopg.errors.UniqueViolation):
            commit.result()
        assert pending(ready) == 0
    assert deadlocks_of(ready, writer) == 0
    assert_exact(ready)


@pytest.mark.parametrize(
    "maintenance", ["truncate {0}", "alter table {0} add check (true)", "alter table {0} set (fillfactor = 90)"]
)
def test_deleted_while_a_partition_is_locked(
    ready: Database, writer: psycopg.Connection[Any], maintenance: str
) -> None:
    """A transaction of the site that has a partition and then waits for whoever deletes: he does not wait for the partition at his COMMIT."""
    for number, age in ((9000001, "1 hour"), (9000002, "100 days")):
        writer.execute(kill(number, age))
    [(young,), (old,)] = ready.fetch(
        'select k.tableoid::regclass::text from public.killmails as k where k."killmailId" > 9000000 order by k."killmailId"'
    )
    with ThreadPoolExecutor() as pool, ready.connect(user="postgres") as site:
        run_all(site, "begin", maintenance.format(old))
        run_all(writer, "begin", f'delete from {young} where "killmailId" = 9000001')
        waiting = pool.submit(
            site.execute, f'update {young} set "totalValue" = 6 where "killmailId" = 9000001'.encode()
        )
        until_blocked(ready, site)
        writer.execute("commit")
        waiting.result()
        site.execute("commit")
    assert deadlocks_of(ready, writer) == 0
    assert_exact(ready)


def test_no_setting_decides_what_is_true(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """Two settings are read: `capture` heeds operators only, `fold` can only put off. Any other name changes nothing."""
    read = {
        name
        for (text,) in ready.fetch("select pg_get_functiondef(f) from entity_stats.deployed_functions() as f")
        for name in re.findall(r"current_setting\('entity_stats\.(\w+)'", text)
    }
    assert read == {"capture", "fold"}
    xid = ready.value("select pg_current_xact_id()::text")
    for number, value in enumerate(("1", "on", "off", xid, "{1}", "deferred"), 1):
        for name in ("parked", "due", "turn", "part", "xid", "last", "reason"):
            writer.execute("select set_config(%s, %s, false)", [f"entity_stats.{name}", value])
        for statement in (
            kill(9000000 + number),
            f'delete from public.killmails where "killmailId" = {9000000 + number}',
        ):
            writer.execute(statement)
            assert pending(ready) == 0
        run_all(writer, "begin", kill(9100000 + number), f"set local entity_stats.parked = '{value}'", "commit")
        assert pending(ready) == 0
    assert_exact(ready)
