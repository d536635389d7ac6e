"""Ranks are what a recount of the killmails says: every night those of everybody, at every moment those of the leaders."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.fixtures.database import WRITER, Database
from tests.fixtures.worlds import assert_exact
from tests.sql.checks.claims import offences
from tests.standings import SAID, STORED, ranks, recount, said

#: Alliances with the same kills and ISK in pairs, down to losers; some kills and some killers are not players'.
LADDER = """
insert into public.killmails (
    "killmailId", "killmailTime", "topAttackerAllianceId", "victimAllianceId", "topAttackerCorporationId", "totalValue", npc
)
select
    80000000 + 100 * a + n, now() - n * interval '4 days' - interval '1 hour', 7000 + a, 7000 + (a + n) % 40, 999990 + a,
    1000000, a % 7 = 3 and n % 2 = 0
from generate_series(1, 30) as a
cross join generate_series(1, a / 2) as n
"""

#: A rank for each metric: rank, movement, live.
RANK = "select metric, rank, movement, live from public.get_entity_rank(%s, 'alliance', %s)"


@pytest.fixture
def ladder(ready: Database) -> Database:
    ready.execute(LADDER)
    ready.execute("call entity_stats.mark_leaders()")
    return ready


def expected(database: Database) -> set[tuple[Any, ...]]:
    """The recount, in the form of STORED and SAID."""
    found = set(ranks(recount(database)))
    assert len(found) > 100
    return found


def stored(database: Database) -> set[tuple[Any, ...]]:
    with database.connect() as session:
        return said(session, STORED)


def spoken(database: Database) -> set[tuple[Any, ...]]:
    with database.connect() as session:
        return said(session, SAID)


def moved(database: Database, entity_id: int, period: str = "all") -> dict[str, tuple[int, int | None, bool]]:
    return {
        metric: (rank, movement, live) for metric, rank, movement, live in database.fetch(RANK, [entity_id, period])
    }


@pytest.mark.parametrize("most", [250, 5, 0])
def test_everybody_is_ranked(ladder: Database, most: int) -> None:
    """Ties, losers, NPC corporations and the ten kills of the efficient included; whether leaders are live or nobody is."""
    ladder.execute("call entity_stats.mark_leaders(%s)", [most])
    ladder.execute("call entity_stats.rank_entities()")
    right = expected(ladder)
    assert stored(ladder) == right
    assert spoken(ladder) == right
    kills = [
        rank for kind, _, period, metric, rank, _ in right if (kind, period, metric) == ("alliance", "all", "kills")
    ]
    assert len(kills) > len(set(kills)), "there are ties"
    for rank in set(kills):
        assert sum(other < rank for other in kills) == rank - 1, "1, 2, 2, 4"
    live = ladder.fetch(
        f"select count(*) filter (where k.live), count(*) from ({SAID.replace('k.rank', 'k.live')}) as k"
    )
    assert offences(ladder) == {}
    [(leading, everybody)] = live
    assert everybody == len(right)
    assert leading == everybody if most == 250 else 0 < leading < everybody, "the first is live whatever the marks"


def test_before_the_first_night(ladder: Database) -> None:
    """Leaders have their ranks, without movement; who is no leader has none, nor has an NPC corporation."""
    ladder.execute("call entity_stats.mark_leaders(5)")
    assert moved(ladder, 7030)["kills"][1:] == (None, True)
    assert moved(ladder, 7002) == {}
    ladder.execute("call entity_stats.rank_entities()")
    assert moved(ladder, 7002)["kills"][1:] == (None, False)
    for corporation, is_ranked in ((999999, True), (1000000, False), (1000001, False)):
        assert ladder.fetch("select from public.get_entity_rank(%s, 'corporation')", [corporation]) == [()] * (
            2 * is_ranked
        )


@pytest.mark.parametrize("most", [250, 5])
def test_live_ranks_follow_every_commit(ladder: Database, most: int) -> None:
    """Up by kills, down by a deletion and by losses; ranks of who is no leader stay those of the cleanup."""
    ladder.execute("call entity_stats.mark_leaders(%s)", [most])
    ladder.execute("call entity_stats.rank_entities()")
    before = stored(ladder)
    with ladder.connect(user=WRITER) as writer:
        for change in (
            """
            insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId", "victimAllianceId", "totalValue")
            select 81000000 + n, now(), 7000 + 20 + n % 3, 7029, 10 * n from generate_series(1, 25) as n
            """,
            'delete from public.killmails where "topAttackerAllianceId" = 7030 and "killmailId" % 3 = 0',
            'update public.killmails set "totalValue" = "totalValue" * 9 where "topAttackerAllianceId" in (7005, 7021)',
        ):
            writer.execute(change)
            right = expected(ladder)
            with ladder.connect() as session:
                live = said(session, SAID + " where k.live")
                rest = said(session, SAID + " where not k.live")
            assert live <= right
            assert rest <= before
            assert live
            if most == 250:  # who is left has no rank any more
                assert {row[:4] for row in rest} & {row[:4] for row in right} == set()
            assert stored(ladder) == before
    assert_exact(ladder)


def test_movement(ladder: Database) -> None:
    """Places gained since the cleanup for who is live, since the day before for the others; ranking a day twice changes neither."""
    ladder.execute("call entity_stats.mark_leaders(5)")
    ladder.execute("call entity_stats.rank_entities(now() - interval '1 day')")
    low, high = moved(ladder, 7010)["kills"][0], moved(ladder, 7020)["kills"][0]
    ladder.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId")
        select 82000000 + n, now() - interval '80 days', 7010 from generate_series(1, 5) as n
        """
    )
    assert moved(ladder, 7010)["kills"] == (low, None, False)
    for _ in range(2):
        ladder.execute("call entity_stats.rank_entities()")
        rank, movement, live = moved(ladder, 7010)["kills"]
        assert (low - rank, live) == (movement, False)
        assert rank < low
    assert moved(ladder, 7020)["kills"] == (high, 0, False) or high > rank
    ladder.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId")
        select 83000000 + n, now() - interval '80 days', 7010 from generate_series(1, 500) as n
        """
    )
    assert moved(ladder, 7010)["kills"] == (1, rank - 1, True)
    [(ranked, as_of, since)] = ladder.fetch(
        """
        select k.ranked = r.entities, k."asOf" = now(), k.since = r."asOf"
        from public.get_entity_rank(7010, 'alliance') as k
        inner join entity_stats.ranking as r on r."entityType" = 'alliance' and r.period = 'all'
        where k.metric = 'kills'
        """
    )
    assert (ranked, as_of, since) == (True, True, True)


def test_who_leaves_a_window_leaves_its_ranks(ladder: Database) -> None:
    """Ageing takes kills away; the night's ranks are those of the windows as they are then, and nobody stays without activity."""
    ladder.execute("call entity_stats.rank_entities(now() - interval '1 day')")
    gone = ladder.fetch(
        """select r."entityId" from entity_stats.rank as r where r.period = '14d' and r."entityType" = 'alliance'"""
    )
    ladder.execute(
        'update public.killmails set "killmailTime" = "killmailTime" - interval \'20 days\' where "killmailId" > 80000000'
    )
    ladder.execute("call entity_stats.fold_pending()")
    ladder.execute("call entity_stats.age_windows()")
    assert stored(ladder) == expected(ladder)
    left = ladder.fetch(
        """select r."entityId" from entity_stats.rank as r where r.period = '14d' and r."entityType" = 'alliance'"""
    )
    assert len(left) < len(gone)
    ladder.execute("truncate public.killmails")
    ladder.execute("call entity_stats.backfill()")
    ladder.execute("call entity_stats.rank_entities()")
    assert stored(ladder) == set()
    assert offences(ladder) == {}


def test_a_cache_that_is_not_ready_is_not_ranked(ladder: Database) -> None:
    ladder.execute("call entity_stats.rank_entities()")
    before = stored(ladder)
    ladder.execute("truncate public.killmails")
    ladder.execute("call entity_stats.rank_entities()")
    assert stored(ladder) == before
    serializable = ladder.connect(options="-c default_transaction_isolation=serializable")
    with serializable as session, pytest.raises(psycopg.errors.InvalidTransactionState):
        session.execute("call entity_stats.rank_entities()")


def test_readers_and_writers_do_not_wait(ladder: Database) -> None:
    """While a list is ranked its ranks are read as they were, and killmails are committed."""
    ladder.execute("call entity_stats.rank_entities(now() - interval '1 day')")
    before = spoken(ladder)
    with ladder.connect(autocommit=False) as ranking, ladder.connect(options="-c lock_timeout=5s") as reader:
        ranking.execute("select entity_stats.rank_list('alliance', 'all', now())")
        assert said(reader, SAID) == before
        with ladder.connect(user=WRITER, options="-c lock_timeout=5s") as writer:
            writer.execute("insert into public.killmails select * from test.killmails(9, 2)")
        ranking.commit()
    assert_exact(ladder)


def test_the_table_stays_as_big_as_it_is(ladder: Database) -> None:
    """Ranked night after night, without a vacuum between."""
    ladder.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "topAttackerCharacterId", "totalValue")
        select 85000000 + n, now(), 100000 + n % 3000, n from generate_series(1, 6000) as n
        """
    )
    ladder.execute("call entity_stats.fold_pending()")
    ladder.execute("alter table entity_stats.rank set (autovacuum_enabled = off)")
    sizes = []
    for night in range(8, 0, -1):
        ladder.execute("call entity_stats.rank_entities(now() - %s * interval '1 day')", [night])
        sizes.append(ladder.value("select pg_total_relation_size('entity_stats.rank')"))
    assert sizes[-1] <= 1.2 * sizes[0], sizes


def test_amid_writers(ladder: Database) -> None:
    """In every snapshot the stored ranks are those of one moment, and the live ones those of this moment."""
    done = threading.Event()
    compared = 0

    def write(seed: int) -> int:
        batches = 0
        with ladder.connect(user=WRITER) as writer:
            while not done.is_set():
                batches += 1
                writer.execute(f"insert into public.killmails select * from test.killmails(6, {1000 * seed + batches})")
                writer.execute(
                    f'delete from public.killmails where "killmailId" / 1000000 = {1000 * seed + batches - 2}'
                )
        return batches

    def rank() -> None:
        with ladder.connect() as session:
            for night in range(10, 0, -1):
                session.execute("call entity_stats.mark_leaders(%s)", [(3, 250)[night % 2]])
                session.execute("call entity_stats.rank_entities(now() - %s * interval '1 day')", [night])

    with ThreadPoolExecutor() as pool, ladder.connect() as reader:
        try:
            writers = [pool.submit(write, seed) for seed in (2, 3)]
            ranking = pool.submit(rank)
            while not ranking.done() or compared < 3:
                assert offences(ladder, ["fail"]) == {}
                with reader.transaction():
                    reader.execute("set transaction isolation level repeatable read")
                    for metric, figure, least in (
                        ("kills", "kills", 0),
                        ("isk", '"iskDestroyed"', 0),
                        ("efficiency", "efficiency", 10),
                    ):
                        wrong = reader.execute(
                            f"""
                            select l.id, k.rank, l.rank
                            from (
                                select s."entityId" as id, rank() over (order by s.{figure} desc) as rank
                                from entity_stats.cached() as d cross join lateral entity_stats.in_scope(d, 'players') as s
                                where d."entityType" = 'alliance' and d.periods = 1 and s.kills >= %s and s.kills + s.losses > 0
                            ) as l
                            inner join lateral public.get_entity_rank(l.id, 'alliance') as k on k.metric = %s and k.live
                            where k.rank <> l.rank
                            """.encode(),
                            [least, metric],
                        ).fetchall()
                        assert wrong == [], metric
                compared += 1
        finally:
            done.set()
        ranking.result()
        assert min(writer.result() for writer in writers) >= 3
    assert_exact(ladder)
