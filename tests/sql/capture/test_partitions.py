"""Every partition is captured whatever way killmails take into it, and moving them about is not counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.fixtures.database import WRITER, Database
from tests.fixtures.worlds import assert_exact, pending

pytestmark = pytest.mark.parametrize("shape", ["partitioned", "sub-partitioned"], indirect=True)

UNGUARDED = "select u.node::text, cardinality(u.missing) from entity_stats.unguarded() as u order by 1"


def nodes(database: Database) -> list[tuple[str, bool, str]]:
    """Name, whether it is a leaf, and the condition of each node but the root."""
    return [
        (str(name), bool(leaf), str(condition))
        for name, leaf, condition in database.fetch(
            """
            select t.relid::regclass::text, t.isleaf, pg_get_partition_constraintdef(t.relid)
            from pg_partition_tree('public.killmails') as t where t.level > 0 order by 1
            """
        )
    ]


def biggest(database: Database) -> str:
    """The leaf with most killmails."""
    return str(
        database.value(
            "select k.tableoid::regclass::text from public.killmails as k group by k.tableoid order by count(*) desc limit 1"
        )
    )


@contextmanager
def operator(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A session of a member of entity_stats_operator that may write killmails and is nobody else."""
    name = f"operator_of_{database.name}"
    database.execute(f"create role {name} login in role entity_stats_operator, {WRITER}")
    try:
        with database.connect(user=name) as session:
            yield session
    finally:
        database.execute(f"drop role {name}")


def test_loads_straight_into_partitions(ready: Database) -> None:
    """INSERT, UPDATE and DELETE that name a node are captured like those that name the table."""
    loaded = []
    with ready.connect(user=WRITER) as writer:
        for number, (node, leaf, condition) in enumerate(nodes(ready), start=2):
            inserted = writer.execute(
                f"""
                insert into {node} (
                    "killmailId", "killmailTime", "victimCharacterId", "victimCorporationId", "victimAllianceId",
                    "topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId", "totalValue", npc, solo
                )
                select
                    "killmailId", "killmailTime", "victimCharacterId", "victimCorporationId", "victimAllianceId",
                    "topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId", "totalValue", npc, solo
                from test.killmails(100, {number}, to_age => '10 years') where {condition}
                """
            ).rowcount
            if inserted:
                loaded.append((node, leaf))
                writer.execute(f'update {node} set "totalValue" = 7 where "killmailId" % 3 = 0')
                writer.execute(f'delete from {node} where "killmailId" % 4 = 0')
            assert pending(ready) == 0
    assert len(loaded) >= 3
    assert_exact(ready)


def test_moved_between_partitions(ready: Database) -> None:
    """An UPDATE that takes killmails into other partitions is counted once."""
    with ready.connect(user=WRITER) as writer:
        before = ready.fetch("""select tableoid from public.killmails order by "killmailId" """)
        writer.execute(
            """
            update public.killmails
            set "killmailTime" = "killmailTime" - interval '40 days', "killmailId" = "killmailId" + 1000001, "totalValue" = 3
            where "killmailId" % 2 = 0
            """
        )
        assert ready.fetch("""select tableoid from public.killmails order by "killmailId" """) != before
    assert pending(ready) == 0
    assert_exact(ready)


def test_moved_by_an_operator(ready: Database) -> None:
    """Rows that an operator takes out and puts back with capture off are not counted again."""
    leaf = biggest(ready)
    with operator(ready) as session, session.transaction():
        session.execute("set local entity_stats.capture = 'off'")
        session.execute(
            f"create temporary table moved on commit drop as select * from public.killmails where tableoid = '{leaf}'::regclass"
        )
        assert session.execute(f"delete from {leaf}").rowcount > 20
        session.execute("insert into public.killmails select * from moved")
    assert pending(ready) == 0
    assert_exact(ready)


def test_new_partition(ready: Database, shape: str) -> None:
    """A new partition without event triggers: what is routed to it counts at once, what is loaded straight into it after a look."""
    if shape == "partitioned":
        ready.execute(
            "drop event trigger entity_stats_ddl; create table public.killmails_1999 partition of public.killmails for values from ('1999-01-01') to ('2000-01-01')"
        )
    else:
        ready.execute(
            """
            alter table public.killmails detach partition public.killmails_old;
            drop table public.killmails_old;
            drop event trigger entity_stats_ddl;
            create table public.killmails_1999 partition of public.killmails
            for values from ('1999-01-01') to ('2000-01-01') partition by range ("killmailTime");
            create table public.killmails_1999_any partition of public.killmails_1999 default;
            """
        )
    ready.execute(f"grant all on all tables in schema public to {WRITER}")
    insert = """
        insert into {table} ("killmailId", "killmailTime", "victimCharacterId", "topAttackerAllianceId", "totalValue")
        select {first} + n, '1999-03-01 00:00:00+00', 1 + n % 3, 2, n from generate_series(1, 20) as n
    """
    leaf = "public.killmails_1999" if shape == "partitioned" else "public.killmails_1999_any"
    new = [("killmails_1999", 6)] if shape == "partitioned" else [("killmails_1999", 5), ("killmails_1999_any", 6)]
    with ready.connect(user=WRITER) as writer:
        writer.execute(insert.format(table="public.killmails", first=2000000))
        assert_exact(ready)

        ready.execute("set search_path = public")
        assert ready.fetch(UNGUARDED) == new
        ready.execute("call entity_stats.look_at_source()")
        assert ready.fetch(UNGUARDED) == []

        writer.execute(insert.format(table=leaf, first=3000000))
        writer.execute(f"""delete from {leaf} where "killmailId" < 2000010""")
    assert pending(ready) == 0
    assert_exact(ready)


def test_detached_partition(ready: Database, shape: str) -> None:
    """A detached partition keeps its triggers, but is no part of killmails: nothing in it counts."""
    root = "public.killmails" if shape == "partitioned" else "public.killmails_new"
    leaf = biggest(ready)
    ready.execute(f"delete from {leaf}")
    assert_exact(ready)
    ready.execute(f"alter table {root} detach partition {leaf}")
    with ready.connect(user=WRITER) as writer:
        writer.execute(
            f"""
            insert into {leaf} ("killmailId", "killmailTime", "victimCharacterId")
            select n, now(), 1 from generate_series(1, 10) as n
            """
        )
        writer.execute(f'update {leaf} set "victimCharacterId" = 2')
        writer.execute(f'delete from {leaf} where "killmailId" = 1')
        writer.execute(f"truncate {leaf}")
    assert pending(ready) == 0
    assert_exact(ready)


@pytest.mark.parametrize("rows", [1, 700])
def test_truncated_leaf(ready: Database, rows: int) -> None:
    """TRUNCATE of a partition is enumerated like a DELETE, folded at once or pending, and can be rolled back."""
    leaf = biggest(ready)
    ready.execute(f"insert into public.killmails select * from test.killmails({rows * 3}, 2, to_age => '1 day')")
    ready.execute("call entity_stats.fold_pending()")
    size = ready.value(f"select count(*) from {leaf}")
    with ready.connect(user=WRITER) as writer:
        for statement in ["begin", f"truncate {leaf}", "rollback"]:
            writer.execute(statement)
        assert_exact(ready)
        writer.execute(f"truncate {leaf}")
    assert ready.value(f"select count(*) from {leaf}") == 0
    assert pending(ready) == (size if size > 500 else 0)
    assert_exact(ready)


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_truncated_leaf_beside_an_old_snapshot(ready: Database, isolation: str) -> None:
    """TRUNCATE removes what its transaction's snapshot never saw: the cache becomes exact, or says that it is not."""
    leaf = biggest(ready)
    with ready.connect(user=WRITER, autocommit=False) as writer:
        writer.execute(f"set transaction isolation level {isolation}")
        writer.execute("select count(*) from public.killmails")
        ready.execute("insert into public.killmails select * from test.killmails(30, 2, to_age => '1 day')")
        writer.execute(f"truncate {leaf}")
    if ready.value("select public.is_stats_cache_populated()"):
        assert_exact(ready)
    else:
        assert leaf.removeprefix("public.") in ready.value("select s.reason from entity_stats.status() as s")
        ready.execute("call entity_stats.backfill()")
    assert_exact(ready)


def test_truncated_tree_and_list(ready: Database) -> None:
    """Several tables in one TRUNCATE, a partitioned one among them, are captured table by table."""
    several = [name for name, leaf, _ in nodes(ready) if not leaf] or [biggest(ready), "public.killmails_default"]
    ready.execute(f"truncate {', '.join(several)}")
    assert ready.value("select count(*) from public.killmails") < 400
    assert ready.value("select public.is_stats_cache_populated()")
    assert_exact(ready)
