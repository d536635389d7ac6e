"""The runbook's way to reprice all killmails, as it is written there."""

from __future__ import annotations

import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fixtures.database import ROOT, WRITER, Database
from tests.fixtures.worlds import SHAPES, assert_exact, pending, until

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SECTION = RUNBOOK.partition("\n### New prices for all killmails\n")[2].partition("\n## ")[0]
[RECIPE] = re.findall(r"^```sql\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)

UNPRICED = 'select count(*) from public.killmails where "totalValue" is distinct from 10000.0 * "attackerCount"'

#: What a writer does meanwhile, in turns, each statement a transaction of one killmail: nobody can run into a deadlock.
WRITES = [
    "insert into public.killmails select * from test.killmails(1, {seed})",
    'update public.killmails set "totalValue" = {seed} where "killmailId" = 1000000::bigint * ({seed} - 1) + 1',
    'update public.killmails set solo = not coalesce(solo, false) where "killmailId" = 1000000 + {seed} % 200',
    'update public.killmails set "victimAllianceId" = "topAttackerAllianceId" where "killmailId" = 1000200 + {seed} % 200',
    'delete from public.killmails where "killmailId" = 1000000::bigint * ({seed} - 4) + 1 and {seed} % 2 = 0',
]


def reprice(database: Database) -> subprocess.CompletedProcess[str]:
    return database.psql("--quiet", "-c", "set application_name = 'repricing'", "-f", "-", input=RECIPE)


def repriced(done: subprocess.CompletedProcess[str]) -> int:
    """How many killmails it says that it has repriced."""
    return int(re.findall(r"NOTICE: +(\d+) killmails, up to", done.stderr)[-1])


@pytest.mark.parametrize("shape", SHAPES, indirect=True)
def test_amid_writers(ready: Database, shape: str) -> None:
    """Exact whoever writes meanwhile, folded at once or later; run again, it finds what has come with an old price."""
    ended = threading.Event()

    def write(me: int, fold: str) -> int:
        seed = 1000 * me
        with ready.connect(user=WRITER, options=f"-c entity_stats.fold={fold}") as session:
            while not ended.is_set():
                session.execute(WRITES[seed % len(WRITES)].format(seed=seed).encode())
                seed += 1
        return seed - 1000 * me

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, me, fold) for me, fold in enumerate(("own", "own", "deferred"), start=1)]
        try:
            until(ready, 'select count(*) > 6 from public.killmails where "killmailId" >= 1000000000')
            done = reprice(ready)
        finally:
            ended.set()
        for writer in writers:
            assert writer.result() > 10
    assert done.returncode == 0, done.stderr
    assert repriced(done) > 300
    assert_exact(ready)

    left = ready.value(UNPRICED)
    assert repriced(reprice(ready)) == left > 0
    assert ready.value(UNPRICED) == 0
    assert pending(ready) == 0
    assert_exact(ready)


def test_interrupted(ready: Database) -> None:
    """Killed in the middle of a day, it has lost that day only; run again, it does what is left."""
    every = ready.value(UNPRICED)
    with ready.connect(autocommit=False) as other:
        other.execute("""
            select from public.killmails as k
            where k."killmailTime" >= now() - interval '10 days'
            order by k."killmailTime" limit 1 for update
        """)
        with ThreadPoolExecutor() as pool:
            running = pool.submit(reprice, ready)
            repricing = "select pid from pg_stat_activity where application_name = 'repricing'"
            until(
                ready, f"select exists (select from ({repricing}) as r where cardinality(pg_blocking_pids(r.pid)) > 0)"
            )
            # What is done is committed and waits; every figure is accounted for.
            left = ready.value(UNPRICED)
            assert 0 < left < every
            assert ready.fetch("select reason, killmails from entity_stats.backlog()") == [("deferred", every - left)]
            assert ready.fetch("select * from entity_stats.differences()") == []
            ready.execute(f"select pg_terminate_backend(pid) from ({repricing}) as r")
            assert running.result().returncode != 0
    assert (ready.value(UNPRICED), pending(ready)) == (left, every - left)
    assert ready.fetch("select * from entity_stats.differences()") == []

    done = reprice(ready)
    assert done.returncode == 0, done.stderr
    assert repriced(done) == left
    assert (ready.value(UNPRICED), pending(ready)) == (0, 0)
    assert_exact(ready)


def test_all_there_are(ready: Database) -> None:
    """Killmails at either end of time, and of days that nothing else has, are repriced too."""
    ready.execute("""
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "totalValue", "attackerCount")
        select -n, t, 1, n, 2
        from unnest(array['-infinity', 'infinity', '2003-05-06', '2099-01-01']::timestamptz[]) with ordinality as m (t, n)
    """)
    assert reprice(ready).returncode == 0
    assert ready.value(UNPRICED) == 0
    assert_exact(ready)
