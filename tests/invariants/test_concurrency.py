"""Many writers at once: every transaction commits, none deadlocks, and nothing is left to others."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.fixtures.database import WRITER, Database
from tests.fixtures.worlds import Worlds, assert_exact, deadlocks, pending, until_blocked

WRITERS = 8
TRANSACTIONS = 40

#: What a transaction is made of: the writer's own killmails, in any order, hit the same few entities as everybody's.
STATEMENTS = [
    'insert into public.killmails select * from test.killmails({rows}, {seed}) as k order by hashint8extended(k."killmailId", {seed})',
    "insert into public.killmails select * from test.killmails(1, {seed})",
    "insert into public.killmails select * from test.killmails(20, {seed}, to_age => '1 day') on conflict do nothing",
    'update public.killmails set "totalValue" = {rows} where "killmailId" between {first} and {first} + {rows}',
    'update public.killmails set "victimAllianceId" = "topAttackerAllianceId", "topAttackerAllianceId" = "victimAllianceId" '
    'where "killmailId" between {first} and {first} + 5',
    'delete from public.killmails where "killmailId" between {first} + 3 and {first} + {rows} / 4',
    "savepoint s; insert into public.killmails select * from test.killmails({rows}, {seed}); rollback to s",
    'savepoint s; delete from public.killmails where "killmailId" between {first} and {first} + 2; release s',
    "set constraints all immediate",
]


def write(database: Database, writer: int, session_settings: str = "") -> int:
    """One writer's transactions, shuffled by its number; returns how many it has committed."""
    chance = random.Random(writer)
    committed, seed = 0, 1000 * (writer + 1)
    with database.connect(user=WRITER, autocommit=False, options=session_settings) as session:
        for _ in range(TRANSACTIONS):
            for statement in chance.choices(STATEMENTS, k=chance.randint(1, 5)):
                seed += 1
                last = chance.randint(1000 * (writer + 1), seed)
                session.execute(statement.format(rows=chance.randint(1, 60), seed=seed, first=1000000 * last + 1))
            session.commit()
            committed += 1
    return committed


def all_at_once(work: Callable[[int], Any]) -> list[Any]:
    """What each of the writers returns; the first error of any is raised."""
    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(work, range(WRITERS)))


@pytest.mark.parametrize("shape", ["partitioned", "plain"], indirect=True)
def test_writers(ready: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Eight READ COMMITTED writers of shuffled transactions, several statements and many rows each."""
    before = deadlocks(ready)
    committed = sum(all_at_once(lambda writer: write(ready, writer)))
    left, deadlocked = pending(ready), deadlocks(ready) - before
    with capsys.disabled():
        print(f"\nconcurrency: {committed} committed transactions, {deadlocked} deadlocks, {left} pending")
    assert committed == WRITERS * TRANSACTIONS
    assert deadlocked == 0
    assert left == 0
    assert ready.value("select count(*) from entity_stats.ledger") == 0
    assert ready.oracle() == []
    assert_exact(ready)


def test_writers_beside_everything_else(ready: Database) -> None:
    """The same beside bulk loads, folds of what is pending, ageing and recalculation."""
    before = deadlocks(ready)

    def work(index: int) -> int:
        if index < 4:
            return write(ready, index)
        if index == 4:
            return write(ready, index, "-c entity_stats.fold=deferred")
        with ready.connect() as session:
            for round_ in range(10):
                match index:
                    case 5:
                        session.execute("call entity_stats.fold_pending()")
                    case 6:
                        session.execute("call entity_stats.age_windows()")
                    case _:
                        session.execute("select entity_stats.recalculate(%s, 'character')", [1 + round_])
        return 0

    assert sum(all_at_once(work)) == 5 * TRANSACTIONS
    assert deadlocks(ready) == before
    assert_exact(ready)


def test_serializable_writers_of_different_entities(ready: Database) -> None:
    """SERIALIZABLE writers that have nothing in common do not fail because of the cache."""
    insert = """
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
        select 5000000 + 100000 * %(writer)s + 10 * %(turn)s + n, now() - n * interval '1 day', 1000 + %(writer)s, 2000 + %(writer)s, n
        from generate_series(1, 10) as n
    """

    def work(writer: int) -> int:
        options = "-c default_transaction_isolation=serializable"
        with ready.connect(user=WRITER, autocommit=False, options=options) as session:
            for turn in range(TRANSACTIONS):
                session.execute(insert, {"writer": writer, "turn": turn})
                session.execute(insert, {"writer": writer, "turn": turn + 5000})
                session.commit()
        return TRANSACTIONS

    assert sum(all_at_once(work)) == WRITERS * TRANSACTIONS
    assert pending(ready) == WRITERS * TRANSACTIONS * 20
    assert_exact(ready)


@pytest.mark.parametrize("first", ["newest", "second"])
@pytest.mark.parametrize("pending_deletion", ["neither", "newest", "second", "both"])
def test_newest_two_deleted_at_once(ready: Database, first: str, pending_deletion: str) -> None:
    """Whoever of two concurrent deletions folds last finds the killmail before both."""
    ready.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
        select 9000000 + n, now() - n * interval '1 hour', 77, 88, n from generate_series(1, 3) as n
        """
    )
    ids = {"newest": 9000001, "second": 9000002}
    second = "second" if first == "newest" else "newest"
    with ready.connect(autocommit=False) as a, ready.connect(autocommit=False) as b:
        sessions = {first: a, second: b}
        for name, session in sessions.items():
            if pending_deletion in (name, "both"):
                session.execute("set entity_stats.fold = 'deferred'")
            session.execute('delete from public.killmails where "killmailId" = %s', [ids[name]])
        a.commit()
        assert ready.fetch("select * from entity_stats.differences()") == []
        b.commit()
    assert_exact(ready)
    [[newest]] = ready.fetch("""select "lastKillTime" from public.entity_stats_cache where "entityId" = 88""")
    assert newest == ready.value(
        """select "killmailTime" at time zone 'UTC' from public.killmails where "killmailId" = 9000003"""
    )


def test_mixed_isolation(ready: Database) -> None:
    """Writers of all isolation levels on the same entities: none that the server does not ask to try again fails."""
    levels = ["read committed", "repeatable read", "serializable", "read committed"]

    def work(writer: int) -> int:
        level = levels[writer % 4]
        options = f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"
        committed, seed = 0, 1000 * (writer + 1)
        with ready.connect(user=WRITER, options=options) as session:
            while committed < 2 * TRANSACTIONS:
                seed += committed % 2 == 0
                try:
                    if committed % 2 == 0:
                        session.execute(f"insert into public.killmails select * from test.killmails(15, {seed})")
                    else:
                        session.execute(
                            f'delete from public.killmails where "killmailId" between {1000000 * seed} and {1000000 * seed + 3}'
                        )
                    committed += 1
                except psycopg.errors.SerializationFailure:
                    # Two that read the killmails of one page to find their own may have to take turns.
                    assert level == "serializable"
        return committed

    assert sum(all_at_once(work)) == 2 * WRITERS * TRANSACTIONS
    assert deadlocks(ready) == 0
    assert_exact(ready)


def test_deletion_folded_before_its_insert(ready: Database) -> None:
    """A killmail whose arrival is still pending when its deletion is folded leaves no trace in the newest time."""
    with ready.connect() as loader:
        loader.execute("set entity_stats.fold = 'deferred'")
        loader.execute(
            """
            insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue")
            select 9000000 + n, now() - n * interval '1 hour', 77, 88, n from generate_series(1, 40) as n
            order by n desc
            """
        )
    with ready.connect(user=WRITER) as writer:
        writer.execute("""delete from public.killmails where "killmailId" in (9000001, 9000007)""")
        writer.execute("""update public.killmails set "topAttackerCharacterId" = 89 where "killmailId" = 9000002""")
    assert pending(ready) > 0
    assert_exact(ready)


def test_deferred_unique_constraint(worlds: Worlds) -> None:
    """A COMMIT that waits for somebody in a deferred constraint of the site holds no row of the cache meanwhile."""
    with worlds.ready("plain") as site:
        site.execute(
            'alter table public.killmails add constraint late unique ("solarSystemId", "victimShipTypeId") deferrable initially deferred'
        )
        insert = """
            insert into public.killmails ("killmailId", "killmailTime", "solarSystemId", "victimShipTypeId", "victimCharacterId", "totalValue")
            values (%s, now(), 900000, 1, 1, 5)
        """
        with ThreadPoolExecutor() as pool, site.connect(autocommit=False) as a, site.connect(autocommit=False) as b:
            a.execute(insert, [9000001])
            b.execute(insert, [9000002])
            waiting = pool.submit(b.commit)
            until_blocked(site, b)
            a.commit()
            with pytest.raises(psycopg.errors.UniqueViolation):
                waiting.result()
        assert deadlocks(site) == 0
        assert pending(site) == 0
        assert_exact(site)
