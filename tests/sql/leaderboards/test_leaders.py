"""Lists of leaders have everybody over their marks, whoever commits while new marks are drawn."""

from __future__ import annotations

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import LiteralString

from tests.fixtures.database import WRITER, Database
from tests.fixtures.worlds import MISFILED, assert_exact, deadlocks, fold_pending, until_blocked
from tests.standings import METRICS, SCOPES, wrong_boards

#: One alliance over every mark below 50 kills, with all its ISK destroyed.
RISE = """
insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId", "totalValue")
select 1000 * %(id)s + n, now(), %(id)s, 1000000 from generate_series(1, 50) as n
"""

#: What a leaderboard must say, from the whole cache.
TRUTH: LiteralString = """
select s.* from entity_stats.cached() as d
cross join lateral entity_stats.in_scope(d, %(scope)s) as s
cross join lateral entity_stats.figure(s, %(metric)s) as f
inner join entity_stats.time_window as w on d.periods = w.bit
where
    d."entityType" = %(type)s and w.period = %(period)s
    and s.kills >= case %(metric)s when 'efficiency' then 10 else 1 end and (f.figure > 0 or %(metric)s = 'efficiency')
order by f.figure desc, s.kills desc, s."entityId" limit %(most)s
"""
BOARD: LiteralString = (
    "select * from get_top_entities_from_cache(%(type)s, %(period)s, %(metric)s, %(scope)s, %(most)s)"
)


def test_a_commit_at_each_step(ready: Database) -> None:
    """Somebody rises over the new marks before they are drawn, before the others are filed, and before readers go over."""
    ready.execute("call entity_stats.mark_leaders(3)")
    with ready.connect(user=WRITER) as writer:
        writer.execute(RISE, {"id": 5001})
        draw = ready.value("select entity_stats.draw_marks(3)::text")
        writer.execute(RISE, {"id": 5002})
        assert ready.fetch(
            """
            select from public.entity_stats_cache as c
            inner join entity_stats.mark as m on c."entityType" = m."entityType" and c.leads & m.list <> 0
            where c."entityId" = 5002 and not m.complete
            """
        )
        [misfiled] = ready.fetch("select types, ids from entity_stats.misfiled()")
        writer.execute(RISE, {"id": 5003})
        ready.execute("select entity_stats.file_leaders(%s, %s)", misfiled)
        writer.execute(RISE, {"id": 5004})
        ready.execute("select entity_stats.complete_marks(%s::xid8)", [draw])
        writer.execute(RISE, {"id": 5005})
    assert ready.fetch(MISFILED) == []
    assert ready.fetch("select \"entityId\" from get_top_entities_by_kills_from_cache('alliance', '14d', 5)") == [
        (5001,),
        (5002,),
        (5003,),
        (5004,),
        (5005,),
    ]
    assert_exact(ready)


def test_marks_are_drawn_between_folds(ready: Database) -> None:
    """Whoever is folding when marks are drawn is waited for: a scan that begins later sees what it has written."""
    with ready.connect(autocommit=False) as folding, ready.connect() as marking:
        folding.execute("lock table entity_stats.gate in row share mode")
        with ThreadPoolExecutor() as pool:
            drawn = pool.submit(marking.execute, "select entity_stats.draw_marks(3)")
            until_blocked(ready, marking)
            folding.commit()
            drawn.result()


def test_a_run_that_was_overtaken_changes_nothing(ready: Database) -> None:
    """Two at once, and one beside a build that empties the cache: lists that somebody else has dropped are not read."""
    before = ready.fetch("select m.* from entity_stats.mark as m order by 1, 2")
    first = ready.value("select entity_stats.draw_marks(3)::text")
    second = ready.value("select entity_stats.draw_marks(3)::text")
    ready.execute("select entity_stats.complete_marks(%s::xid8)", [first])
    assert ready.fetch("select m.* from entity_stats.mark as m where m.complete order by 1, 2") == before
    ready.execute("truncate public.killmails")
    assert ready.value("select entity_stats.draw_marks(3)") is None
    ready.execute("call entity_stats.backfill_begin()")
    ready.execute("select entity_stats.complete_marks(%s::xid8)", [second])
    assert ready.value("select count(*) from entity_stats.mark") == 0


def test_amid_writers(ready: Database) -> None:
    """Marks move up and down while commits cross them: in every snapshot each list is right, and so is what is read from it."""
    ready.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId", "totalValue")
        select 1000 * (6000 + a) + n, now() - n * interval '2 days', 6000 + a, 1000 from generate_series(1, 40) as a, generate_series(1, a) as n
        """
    )
    fold_pending(ready)
    before = deadlocks(ready)
    done = threading.Event()

    def write(seed: int) -> int:
        """Kills and losses for some alliances, and their deletion, until done."""
        batches = 0
        draw = random.Random(seed)
        with ready.connect(user=WRITER) as writer:
            while not done.is_set():
                batches += 1
                writer.execute(
                    """
                    insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId", "victimAllianceId", "totalValue", npc, solo)
                    select
                        100000000 * %(seed)s + 1000 * %(batch)s + n, now() - interval '1 day', 6001 + (%(a)s + n %% 3) %% 40, 6001 + (%(v)s + n) %% 40, 10 * n,
                        n %% 3 = %(v)s %% 2, n %% 4 = 1
                    from generate_series(1, 12) as n
                    """,
                    {"seed": seed, "batch": batches, "a": draw.randrange(40), "v": draw.randrange(40)},
                )
                writer.execute(
                    'delete from public.killmails where "killmailId" / 1000 = %s',
                    [100000 * seed + batches - draw.randrange(1, 9)],
                )
        return batches

    def mark() -> None:
        draw = random.Random(1)
        with ready.connect() as session:
            for _ in range(25):
                session.execute("call entity_stats.mark_leaders(%s)", [draw.choice([0, 1, 3, 8, 20, 250])])

    compared = 0
    with ThreadPoolExecutor() as pool, ready.connect() as reader:
        try:
            writers = [pool.submit(write, seed) for seed in (2, 3)]
            marking = pool.submit(mark)
            while not marking.done() or compared < 3:
                with reader.transaction():
                    reader.execute("set transaction isolation level repeatable read")
                    assert (
                        reader.execute(
                            MISFILED
                            + ' and exists (select from entity_stats.mark as m where m.list = o.list and m."entityType" = c."entityType" and m.complete)'
                        ).fetchall()
                        == []
                    )
                    for period, scope, metric in itertools.product(("all", "14d"), SCOPES, METRICS):
                        question = {"type": "alliance", "period": period, "scope": scope, "metric": metric, "most": 5}
                        got = reader.execute(BOARD, question).fetchall()
                        assert got == reader.execute(TRUTH, question).fetchall(), question
                compared += 1
        finally:
            done.set()
        marking.result()
        batches = [writer.result() for writer in writers]
    assert min(batches) >= 3
    assert deadlocks(ready) == before
    assert ready.fetch(MISFILED) == []
    assert_exact(ready)


def test_npc_corporations_take_no_place(ready: Database) -> None:
    """Marks are drawn among players: however many NPC corporations are over them, players are listed, and all of both scopes is right."""
    ready.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "topAttackerCorporationId", "totalValue", npc)
        select 1000 * c + n, now() - n * interval '10 days', 1000000 + c, 1e9, n % 3 > 0 from generate_series(1, 40) as c, generate_series(1, 60) as n
        union all
        select 2000000 + 1000 * c + n, now() - n * interval '10 days', 98000000 + c, 1e6 * c, n % 5 = 0 from generate_series(1, 40) as c, generate_series(1, c) as n
        """
    )
    fold_pending(ready)
    ready.execute("call entity_stats.mark_leaders(20)")
    assert wrong_boards(ready, kinds=["corporation"]) == []
    best = "select \"entityId\" from get_top_entities_from_cache('corporation', max_entities => 15)"
    listed = ready.fetch(best)
    ready.execute('update public.entity_stats_cache set leads = 0 where "entityId" = %s', listed[0])
    assert len(ready.fetch(best)) == 15
    assert ready.fetch(best)[0] != listed[0], "the list has enough players: the cache is not read"


def test_no_marks_no_lists(ready: Database) -> None:
    """A cache of a version before, until its first cleanup: every leaderboard reads the whole cache."""
    question = "select * from get_top_entities_by_kills_from_cache('alliance', 'all', 2)"
    expected = ready.fetch(question)
    ready.execute("delete from entity_stats.mark; update public.entity_stats_cache set leads = 0")
    assert ready.fetch(question) == expected != []
    ready.execute("call entity_stats.mark_leaders()")
    assert_exact(ready)
