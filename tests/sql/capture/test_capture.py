"""Every way of writing killmails leaves the cache exact: folded at its own COMMIT, or pending until the next fold."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.fixtures.database import WRITER, Database
from tests.fixtures.worlds import SHAPES, assert_exact, fold_pending, pending, rows_of

pytestmark = pytest.mark.parametrize("shape", list(SHAPES), indirect=True)

INSERT = "insert into public.killmails select * from test.killmails({rows}, {seed})"

#: Statements of one session in autocommit; afterwards the killmails have changed and nothing is pending.
WRITES = {
    "single rows": [INSERT.format(rows=1, seed=seed) for seed in range(2, 7)],
    "many rows": [INSERT.format(rows=300, seed=2)],
    "as many rows as one commit folds": [INSERT.format(rows=500, seed=2)],
    "through a view": [
        "insert into pg_temp.v select * from test.killmails(20, 2)",
        """update pg_temp.v set solo = not solo where "solarSystemId" < 20""",
    ],
    "on conflict do nothing": [
        INSERT.format(rows=5, seed=2),
        """
        insert into public.killmails select * from test.killmails(20, 3)
        union all select "killmailId", "killmailTime", 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, true, true, true
        from public.killmails where "killmailId" between 2000001 and 2000005
        on conflict do nothing
        """,
    ],
    "on conflict do update": [
        """
        insert into public.killmails as k select * from test.killmails(20, 3)
        union all select "killmailId", "killmailTime", 0, 1, 1, 1, 1, 1, 1, 1, 1, 777.5, 1, true, true, true
        from public.killmails where "solarSystemId" < 50
        on conflict ("killmailId", "killmailTime") do update
        set "totalValue" = excluded."totalValue", solo = excluded.solo, "victimCharacterId" = excluded."victimCharacterId"
        where k."solarSystemId" < 30
        """,
    ],
    "merge": [
        """
        merge into public.killmails as k
        using (
            select "killmailId", "killmailTime" from public.killmails where "solarSystemId" < 60
            union all select 9000000 + n, now() - n * interval '3 days' from generate_series(1, 40) as n
        ) as s
        on k."killmailId" = s."killmailId" and k."killmailTime" = s."killmailTime"
        when matched and k."solarSystemId" < 20 then delete
        when matched and k."solarSystemId" < 40 then update set "totalValue" = 10, "topAttackerAllianceId" = 2
        when matched then do nothing
        when not matched then
            insert ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
            values (s."killmailId", s."killmailTime", 3, 4, 1.005)
        """,
    ],
    "merge, in turns": [
        "set enable_hashjoin = off",
        "set enable_mergejoin = off",
        """
        merge into public.killmails as k
        using (
            select k."killmailId", k."killmailTime", k."solarSystemId" as place from public.killmails as k where k."solarSystemId" < 60
            union all select 9000000 + n, now() - n * interval '3 days', 2 * n from generate_series(1, 40) as n
            order by place
        ) as s
        on k."killmailId" = s."killmailId" and k."killmailTime" = s."killmailTime"
        when matched and k."solarSystemId" % 4 = 3 then delete
        when matched then update set "totalValue" = 10, "topAttackerAllianceId" = 2
        when not matched then
            insert ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
            values (s."killmailId", s."killmailTime", 3, 4, 1.005)
        """,
    ],
    "several statements per transaction": [
        "begin",
        INSERT.format(rows=20, seed=2),
        """update public.killmails set "totalValue" = 5 where "solarSystemId" between 10 and 30""",
        """delete from public.killmails where "solarSystemId" between 20 and 40""",
        INSERT.format(rows=20, seed=3),
        "commit",
    ],
    "several changes in one statement": [
        """
        with gone as (delete from public.killmails where "solarSystemId" < 30 returning *),
        changed as (update public.killmails set npc = true where "solarSystemId" between 30 and 50 returning 1)
        insert into public.killmails select "killmailId" + 500, "killmailTime", "solarSystemId" from gone
        """,
    ],
    "savepoints rolled back": [
        "begin",
        "savepoint a",
        INSERT.format(rows=20, seed=2),
        "rollback to a",
        INSERT.format(rows=20, seed=3),
        "savepoint b",
        """delete from public.killmails where "solarSystemId" < 30""",
        "savepoint c",
        """update public.killmails set solo = true""",
        "rollback to c",
        "release b",
        "savepoint d",
        """delete from public.killmails""",
        "rollback to d",
        "commit",
    ],
    "constraints immediate": [
        "begin",
        INSERT.format(rows=20, seed=2),
        "set constraints all immediate",
        INSERT.format(rows=20, seed=3),
        "commit",
    ],
    "constraints immediate, repeatedly": [
        "begin",
        "set constraints all immediate",
        INSERT.format(rows=20, seed=2),
        "set constraints all immediate",
        "set constraints all immediate",
        """delete from public.killmails where "solarSystemId" < 30""",
        "set constraints all immediate",
        "savepoint a",
        INSERT.format(rows=20, seed=3),
        "set constraints all immediate",
        "rollback to a",
        "set constraints all deferred",
        INSERT.format(rows=20, seed=4),
        "commit",
    ],
    "do block that commits": [
        """
        do $$
        begin
            for n in 2 .. 5 loop
                insert into public.killmails select * from test.killmails(20, n);
                if n = 3 then rollback; else commit; end if;
                delete from public.killmails where "killmailId" = 1000000 * n + 1;
            end loop;
        end $$
        """,
    ],
    "block with an exception": [
        """
        do $$
        begin
            insert into public.killmails select * from test.killmails(20, 2);
            begin
                insert into public.killmails select * from test.killmails(20, 3);
                raise division_by_zero;
            exception when division_by_zero then null;
            end;
        end $$
        """,
    ],
    "price recalculation": [
        f"""update public.killmails set "totalValue" = {n}.125 where "killmailId" = {1000000 + n}"""
        for n in range(1, 15)
    ],
    "prices to and from no number": [
        """update public.killmails set "totalValue" = 'NaN' where "solarSystemId" < 100""",
        """update public.killmails set "totalValue" = 5.5 where "solarSystemId" < 60""",
        """update public.killmails set "totalValue" = null where "solarSystemId" < 40""",
        """update public.killmails set "totalValue" = 'Infinity' where "solarSystemId" < 20""",
    ],
    "other entities and flags": [
        """
        update public.killmails
        set
            "victimCharacterId" = "topAttackerCharacterId", "topAttackerCharacterId" = "victimCharacterId",
            "victimAllianceId" = 0, "topAttackerCorporationId" = null, solo = npc, npc = solo
        where "solarSystemId" < 100
        """,
    ],
    "other times": [
        """update public.killmails set "killmailTime" = "killmailTime" - interval '40 days' where "solarSystemId" < 100""",
        """update public.killmails set "killmailTime" = now() - interval '1 day' where "solarSystemId" between 50 and 150""",
        """update public.killmails set "killmailTime" = '2019-06-01 00:00:00+00' where "solarSystemId" between 150 and 200""",
    ],
    "exactly on the cutoffs": [
        """
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerAllianceId", "totalValue")
        select 9000000 + row_number() over (), c.cutoff + n * interval '1 microsecond', 1, 2, 0.01
        from test.cutoff as c, generate_series(-1, 1) as n
        """,
        """update public.killmails set "killmailTime" = "killmailTime" + interval '1 microsecond' where "killmailId" > 9000000""",
    ],
    "infinite times": [
        """
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerAllianceId", "totalValue")
        select 9000000 + n, t, 1, 2, n from unnest(array['infinity', '-infinity', '-infinity']::timestamptz[]) with ordinality as u (t, n)
        """,
        """delete from public.killmails where "killmailTime" = 'infinity' or "killmailId" = 9000002""",
    ],
    "more ISK than there is": [
        """
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerAllianceId", "totalValue")
        select 9000000 + n, now(), 1, 2, case when n % 3 = 0 then 1 else 3e38 end from generate_series(1, 10) as n
        """,
        """delete from public.killmails where "killmailId" between 9000001 and 9000005""",
        """update public.killmails set "totalValue" = -7.77 where "killmailId" = 9000007""",
    ],
    "delete": ["""delete from public.killmails where "solarSystemId" % 3 = 0"""],
    "delete of everything": ["""delete from public.killmails"""],
    "another time zone, date style and search path": [
        "set timezone = 'Asia/Tokyo'",
        "set datestyle = 'SQL, DMY'",
        "set search_path = pg_temp",
        "set extra_float_digits = 0",
        INSERT.format(rows=50, seed=2),
    ],
}


#: Statements that change nothing we count: no fact is written, whatever other columns become.
NOTHING = {
    "update to the same": ["update public.killmails set solo = solo, npc = npc"],
    "unrelated column": ["""update public.killmails set "victimShipTypeId" = 1, awox = true, "attackerCount" = 9"""],
    "same to the cent": ["""update public.killmails set "totalValue" = 10000.001 where "totalValue" = 10000"""],
    "conflicts only": ["insert into public.killmails select * from public.killmails on conflict do nothing"],
    "no row": ["delete from public.killmails where false", "update public.killmails set solo = true where false"],
}

#: Statements of one session and how many facts they leave in the ledger.
LEFT_PENDING = {
    "repeatable read": (["begin isolation level repeatable read", INSERT.format(rows=20, seed=2), "commit"], 20),
    "serializable": (
        [
            "begin isolation level serializable",
            INSERT.format(rows=20, seed=2),
            """delete from public.killmails where "killmailId" in (2000001, 1000001)""",
            "savepoint a",
            "delete from public.killmails",
            "rollback to a",
            """update public.killmails set "totalValue" = 1 where "killmailId" = 2000002""",
            "commit",
        ],
        23,
    ),
    "serializable by default": (
        ["set default_transaction_isolation = 'serializable'", *[INSERT.format(rows=5, seed=n) for n in range(2, 5)]],
        15,
    ),
    "deferred": (
        ["set entity_stats.fold = 'deferred'", INSERT.format(rows=30, seed=2), INSERT.format(rows=30, seed=3)],
        60,
    ),
    "more than one commit folds": ([INSERT.format(rows=501, seed=2)], 501),
    "far more, by several statements": (
        ["begin", *[INSERT.format(rows=400, seed=n) for n in range(2, 6)], "delete from public.killmails", "commit"],
        3600,
    ),
    "prepared": (["begin", INSERT.format(rows=20, seed=2), "prepare transaction 'p'", "commit prepared 'p'"], 20),
    "prepared in other words": (
        ["begin", INSERT.format(rows=20, seed=2), "/* x */ PREPARE\n\tTRANSACTION 'p'", "commit prepared 'p'"],
        20,
    ),
    "prepared, constraints immediate": (
        ["begin", INSERT.format(rows=20, seed=2), "set constraints all immediate", "prepare transaction 'p'", "commit prepared 'p'"],
        20,
    ),
    "prepared and rolled back": (
        [
            "begin", INSERT.format(rows=20, seed=2), "prepare transaction 'p'", "rollback prepared 'p'",
            "begin", INSERT.format(rows=7, seed=2), "prepare transaction 'p'", "commit prepared 'p'",
        ],
        7,
    ),
}  # fmt: skip


@pytest.fixture
def writer(ready: Database) -> Iterator[psycopg.Connection[Any]]:
    """A session that may write killmails and has no right on anything of ours, in autocommit."""
    with ready.connect(user=WRITER) as session:
        session.execute("create temporary view v as select * from public.killmails")
        yield session


@pytest.mark.parametrize("write", list(WRITES))
def test_folded_at_commit(ready: Database, writer: psycopg.Connection[Any], write: str) -> None:
    """READ COMMITTED writes are in the cache when they are committed, whoever made them, whatever the statement."""
    before = rows_of(ready, "public.killmails")
    for statement in WRITES[write]:
        writer.execute(statement)
    assert rows_of(ready, "public.killmails") != before
    assert pending(ready) == 0
    assert ready.oracle() == []
    assert_exact(ready)


def test_copy(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """COPY is captured like any INSERT."""
    rows = writer.execute("select * from test.killmails(100, 2)")
    names = ", ".join(f'"{column.name}"' for column in rows.description or ())
    values = rows.fetchall()
    with writer.cursor() as cursor, cursor.copy(f"copy public.killmails ({names}) from stdin") as copy:
        for row in values:
            copy.write_row(row)
    assert ready.value("""select count(*) from public.killmails where "killmailId" > 2000000""") == 100
    assert pending(ready) == 0
    assert_exact(ready)


def test_replica_role(ready: Database) -> None:
    """Sessions that fire no ordinary triggers (trigger-based replication, restores of data) are captured and fold."""
    with ready.connect(options="-c session_replication_role=replica") as session:
        session.execute(INSERT.format(rows=30, seed=2))
        session.execute("""delete from public.killmails where "killmailId" % 3 = 0""")
        session.execute("update public.killmails set solo = true")
    assert pending(ready) == 0
    assert_exact(ready)


def test_without_a_time(ready: Database, writer: psycopg.Connection[Any], shape: str) -> None:
    """A killmail without a time is in no window: it is not counted, and its ingest does not fail."""
    if shape != "plain":
        pytest.skip("the partition key of a range cannot be null here")
    ready.execute(
        """
        alter table public.killmails drop constraint killmails_pkey;
        alter table public.killmails alter column "killmailTime" drop not null;
        """
    )
    for statement in [
        """insert into public.killmails ("killmailId", "victimCharacterId", "totalValue") values (9000001, 1, 5), (9000002, 1, 6)""",
        """update public.killmails set "totalValue" = 7 where "killmailTime" is null""",
        """update public.killmails set "killmailTime" = now() where "killmailId" = 9000001""",
        """update public.killmails set "killmailTime" = null where "solarSystemId" < 50""",
        """delete from public.killmails where "killmailTime" is null and "solarSystemId" < 20""",
    ]:
        writer.execute(statement)
        assert pending(ready) == 0
        assert_exact(ready)


def test_writes_by_the_sites_own_triggers(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """Killmails that triggers and foreign keys of the site write, at once or at COMMIT, count like any others."""
    ready.execute(
        f"""
        create table public.system (id bigint primary key);
        insert into public.system select generate_series(1, 500);
        alter table public.killmails add foreign key ("solarSystemId") references public.system on delete cascade;
        create table public.feed (id bigint primary key, late boolean not null);
        create function public.take_in() returns trigger language plpgsql as $$
        begin
            insert into public.killmails select * from test.killmails(10, new.id);
            update public.killmails set "totalValue" = 9 where "killmailId" = 1000000 * new.id + 1;
            return null;
        end $$;
        create trigger at_once after insert on public.feed for each row when (not new.late) execute function public.take_in();
        create constraint trigger at_commit after insert on public.feed deferrable initially deferred
        for each row when (new.late) execute function public.take_in();
        create function public.tidy() returns trigger language plpgsql as $$
        begin
            new."totalValue" := coalesce(new."totalValue", 1);
            return new;
        end $$;
        create trigger tidy before insert or update on public.killmails for each row execute function public.tidy();
        grant all on public.feed, public.system to {WRITER};
        """
    )
    writer.execute("insert into public.feed values (2, false), (3, true)")
    assert pending(ready) == 0
    assert_exact(ready)

    # Two rounds at COMMIT: killmails come before the fold, and once more behind it.
    for statement in [
        "begin",
        INSERT.format(rows=5, seed=4),
        "insert into public.feed values (5, true), (6, true)",
        "commit",
    ]:
        writer.execute(statement)
    assert pending(ready) == 0
    assert_exact(ready)

    writer.execute("delete from public.system where id between 3 and 90")
    assert ready.value("select count(*) from public.killmails") < 400
    assert pending(ready) == 0
    assert_exact(ready)


def test_nothing_in_a_session_misleads_capture(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """Temporary objects, functions and operators in front of the built-in ones, and settings of ours set to nonsense."""
    ready.execute(f"create schema trap authorization {WRITER}")
    before = rows_of(ready, "public.killmails")
    for statement in [
        "create temporary table fresh as select * from test.killmails(30, 2)",
        "set search_path = trap",
        "create function trap.wrong(bigint, bigint) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$",
        "create function trap.wrong(text, text) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$",
        "create function trap.wrong(timestamptz, timestamptz) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$",
        "create operator trap.= (function = trap.wrong, leftarg = bigint, rightarg = bigint)",
        "create operator trap.<> (function = trap.wrong, leftarg = bigint, rightarg = bigint)",
        "create operator trap.= (function = trap.wrong, leftarg = text, rightarg = text)",
        "create operator trap.>= (function = trap.wrong, leftarg = timestamptz, rightarg = timestamptz)",
        "create function trap.pg_partition_root(oid) returns regclass language plpgsql as $$ begin raise 'trapped'; end $$",
        "create function trap.isk(real) returns numeric language plpgsql as $$ begin raise 'trapped'; end $$",
        "create function trap.current_setting(text) returns text language sql return 'serializable'",
        "create function trap.pg_current_xact_id() returns xid8 language plpgsql as $$ begin raise 'trapped'; end $$",
        "create function trap.now() returns timestamptz language plpgsql as $$ begin raise 'trapped'; end $$",
        "create domain pg_temp.numeric as text check (value is null)",
        *[
            f"create temporary table {name} (n integer)"
            for name in [
                "arrived",
                "gone",
                "ledger",
                "aside",
                "fact",
                "few",
                "gate",
                "state",
                "killmails",
                "entity_stats_cache",
            ]
        ],
        "set search_path = pg_temp, trap, pg_catalog",
        "set entity_stats.fold = 'nonsense'",
        "set entity_stats.capture = 'nonsense'",
        "insert into public.killmails select * from pg_temp.fresh",
        """update public.killmails set solo = true, "totalValue" = 5 where ("killmailId" % 3) operator(pg_catalog.=) 0""",
        """delete from public.killmails where ("killmailId" % 7) operator(pg_catalog.=) 0""",
    ]:
        writer.execute(statement)
    assert rows_of(ready, "public.killmails") != before
    assert pending(ready) == 0
    assert_exact(ready)


@pytest.mark.parametrize("write", list(NOTHING))
def test_nothing_to_count(ready: Database, writer: psycopg.Connection[Any], write: str) -> None:
    """What changes nothing that is counted writes no fact."""
    written = "select last_value, is_called from entity_stats.ledger_part_seq"
    before = ready.fetch(written)
    for statement in NOTHING[write]:
        writer.execute(statement)
    assert ready.fetch(written) == before
    assert_exact(ready)


def test_rolled_back(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """A transaction that fails or is rolled back leaves nothing: no fact, no change of the cache."""
    before = rows_of(ready, "public.entity_stats_cache")
    for statement in ["begin", INSERT.format(rows=20, seed=2), "delete from public.killmails", "rollback"]:
        writer.execute(statement)
    with pytest.raises(psycopg.errors.UniqueViolation):
        writer.execute(
            "insert into public.killmails select k.* from test.killmails(20, 2) as k cross join generate_series(1, 2)"
        )
    assert ready.value("select count(*) from entity_stats.ledger") == 0
    assert rows_of(ready, "public.entity_stats_cache") == before
    assert_exact(ready)


@pytest.mark.parametrize("write", list(LEFT_PENDING))
def test_left_pending(ready: Database, writer: psycopg.Connection[Any], write: str) -> None:
    """What must not fold at its own COMMIT stays in the ledger, touches no cache row, and is folded later."""
    statements, facts = LEFT_PENDING[write]
    cache = rows_of(ready, "public.entity_stats_cache")
    for statement in statements:
        writer.execute(statement)
    assert pending(ready) == facts
    if facts:
        assert rows_of(ready, "public.entity_stats_cache") == cache
        assert ready.oracle() != []
    assert_exact(ready)


def test_prepared_transaction_holds_no_cache_row(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """A forgotten prepared transaction stops nobody from folding."""
    for statement in ["begin", INSERT.format(rows=50, seed=2), "prepare transaction 'forgotten'"]:
        writer.execute(statement)
    try:
        writer.execute(INSERT.format(rows=50, seed=3))
        assert pending(ready) == 0
        assert_exact(ready)
    finally:
        ready.execute("commit prepared 'forgotten'")
    assert pending(ready) == 50
    assert_exact(ready)


def test_a_commit_folds_its_own(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """What is pending costs a COMMIT nothing, and stays for fold_pending(); a deletion waits behind it."""
    writer.execute("set entity_stats.fold = 'deferred'")
    writer.execute(INSERT.format(rows=50, seed=2))
    writer.execute("reset entity_stats.fold")
    left = []
    for seed in range(3, 6):
        writer.execute(INSERT.format(rows=20, seed=seed))
        left.append(pending(ready))
    assert left == [50, 50, 50]
    writer.execute('delete from public.killmails where "killmailId" between 2000001 and 2000010')
    assert pending(ready) == 60
    assert ("earlier killmails are pending", 10) in ready.fetch(
        "select b.reason, b.killmails from entity_stats.backlog() as b"
    )
    assert_exact(ready)


def test_deferred_half_way(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """What a transaction captured before it asked for deferred mode folds at its COMMIT; the rest waits."""
    for statement in [
        "begin",
        INSERT.format(rows=30, seed=2),
        "set entity_stats.fold = 'deferred'",
        INSERT.format(rows=20, seed=3),
        "commit",
    ]:
        writer.execute(statement)
    assert pending(ready) == 20
    assert_exact(ready)


def test_folding_by_several_at_once(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """Any number of sessions may drain the ledger together, beside folds at COMMIT."""
    writer.execute("set entity_stats.fold = 'deferred'")
    for seed in range(2, 22):
        writer.execute(INSERT.format(rows=60, seed=seed))
    writer.execute("reset entity_stats.fold")
    with ThreadPoolExecutor() as pool:
        drains = [pool.submit(fold_pending, ready) for _ in range(4)]
        for seed in range(22, 32):
            writer.execute(INSERT.format(rows=60, seed=seed))
        for drain in drains:
            drain.result()
    assert_exact(ready)


def test_capture_off_is_for_operators(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """Only members of entity_stats_operator can keep changes out of the ledger."""
    writer.execute("set entity_stats.capture = 'off'")
    writer.execute(INSERT.format(rows=20, seed=2))
    assert_exact(ready)

    ready.execute("set entity_stats.capture = 'off'")
    ready.execute(INSERT.format(rows=20, seed=3))
    ready.execute("reset entity_stats.capture")
    assert pending(ready) == 0
    assert ready.fetch("select * from entity_stats.differences()") != []


def test_truncate_of_all(ready: Database, writer: psycopg.Connection[Any]) -> None:
    """After TRUNCATE the cache says that and why it is not ready; writers go on; the next backfill heals it."""
    writer.execute("begin; truncate public.killmails; rollback")
    assert_exact(ready)

    writer.execute("truncate public.killmails")
    [(status, reason)] = ready.fetch("select s.status, s.reason from entity_stats.status() as s")
    assert status == "stale"
    assert "TRUNCATE of public.killmails" in reason
    assert not ready.value("select public.is_stats_cache_populated()")

    writer.execute(INSERT.format(rows=50, seed=2))
    ready.execute("call entity_stats.backfill()")
    writer.execute(INSERT.format(rows=50, seed=3))
    assert ready.value("""select sum("killsAll") from public.entity_stats_cache""") > 0
    assert_exact(ready)


def test_many_statements_of_one_transaction(ready: Database) -> None:
    """As importers write, a killmail at a time: what each costs at COMMIT does not grow with their number. Counted are pages of indexes."""
    read = """
    select sum(i.idx_blks_hit + i.idx_blks_read)::bigint from pg_statio_user_indexes as i
    where i.relid = 'entity_stats.ledger'::regclass
    """
    number = 5000
    with ready.connect(user=WRITER, autocommit=False) as writer:
        writer.execute(
            f"""
            do $$
            begin
                for n in 1..{number} loop
                    insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId")
                    values (9000000 + n, now() - n * interval '1 minute', 1 + n % 20);
                end loop;
            end
            $$
            """.encode()
        )
        writer.execute("select pg_stat_force_next_flush()")
        before = ready.value(read)
        writer.commit()
        writer.execute("select pg_stat_force_next_flush()")
        writer.commit()
    assert pending(ready) == number, "more than a COMMIT folds"
    assert ready.value(read) - before < 12 * number
    fold_pending(ready)
    assert_exact(ready)


def test_a_commit_reads_its_own_facts_only_whatever_statistics_say(ready: Database) -> None:
    """The ledger was full once, and nearly empty when it was analyzed; now many facts are pending that others have captured later."""
    read = "select sum(idx_tup_read)::bigint from pg_stat_user_indexes where relid = 'entity_stats.ledger'::regclass"
    with ready.connect(user=WRITER) as bulk:
        bulk.execute(INSERT.format(rows=20000, seed=2))
    ready.execute("delete from entity_stats.ledger where part < (select max(part) from entity_stats.ledger)")
    ready.execute("vacuum analyze entity_stats.ledger")
    assert ready.value("select reltuples < relpages from pg_class where oid = 'entity_stats.ledger'::regclass")
    with ready.connect(user=WRITER, autocommit=False) as writer:
        writer.execute(INSERT.format(rows=5, seed=3))
        with ready.connect(user=WRITER) as bulk:
            bulk.execute(INSERT.format(rows=5000, seed=4))
            bulk.execute("select pg_stat_force_next_flush()")
        before = ready.value(read)
        writer.commit()
        writer.execute("select pg_stat_force_next_flush()")
        writer.commit()
    assert ready.value("select count(*) from entity_stats.ledger where reason is null") == 0, "folded"
    assert ready.value(read) - before < 1000
