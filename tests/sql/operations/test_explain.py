"""What makes up a figure: cached, pending and counted fit together, and the killmails listed add up to them."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import psycopg
import pytest

from tests.fixtures.database import RECOUNT, WRITER, Database
from tests.fixtures.worlds import Worlds, assert_exact, fold_pending, ledger_locked, pending

#: Entities and figures that are not explained: in three ways of counting, and by what is cached and pending.
UNEXPLAINED = f"""
with recount as materialized ({RECOUNT})
select e.kind, e.id, e.period, to_jsonb(r), f.figures, to_jsonb(l)
from (
    select t.kind, i.id, p.period
    from unnest(array['character', 'corporation', 'alliance']) as t (kind)
    cross join generate_series(0, 13) as i (id)
    cross join unnest(array['all', '90d', '30d', '14d']) as p (period)
) as e
left join recount as r on e.id = r."entityId" and e.kind = r."entityType" and e.period = r.period
left join lateral (
    select
        jsonb_object_agg(x.figure, x.counted) as figures,
        bool_and(x.cached + x.pending = x.counted) as fits,
        count(*) as rows,
        bool_and(x.cutoff is not distinct from nullif(w.cutoff, '-infinity')) as since
    from public.explain_entity_stats(e.id, e.kind, e.period) as x
    inner join entity_stats.time_window as w on w.period = e.period
) as f on true
left join lateral (
    select
        count(*) filter (where k.side = 'kill') as kills,
        count(*) filter (where k.side = 'loss') as losses,
        coalesce(sum(k.isk) filter (where k.side = 'kill'), 0) as "iskDestroyed",
        coalesce(sum(k.isk) filter (where k.side = 'loss'), 0) as "iskLost",
        count(*) filter (where k.side = 'kill' and k.solo) as "soloKills",
        count(*) filter (where k.side = 'loss' and k.solo) as "soloLosses",
        count(*) filter (where k.side = 'kill' and k.npc) as "npcKills",
        count(*) filter (where k.side = 'loss' and k.npc) as "npcLosses"
    from public.get_counted_killmails(e.id, e.kind, e.period, 1000000) as k
) as l on true
where
    case
        when r."entityId" is null then f.rows > 0 and not (f.figures = to_jsonb(l) and f.fits) or l.kills + l.losses > 0
        else
            f.rows is distinct from 8 or not f.fits or not f.since or f.figures is distinct from to_jsonb(l)
            or not to_jsonb(r) @> f.figures
    end
"""

DEFERRED = "-c entity_stats.fold=deferred"


def assert_explained(database: Database) -> None:
    unexplained = database.fetch(UNEXPLAINED)
    assert unexplained == [], unexplained[:3]


def test_at_every_stop(worlds: Worlds) -> None:
    """While killmails come, go and change, folded or not, in every window as it moves, and during a rebuild."""
    with worlds.past("sub-partitioned") as database, database.connect(user=WRITER, options=DEFERRED) as writer:
        assert_explained(database)
        for write in (
            "insert into public.killmails select * from test.killmails(60, 2)",
            """update public.killmails set "totalValue" = "totalValue" * 2 + 1, solo = npc where "killmailId" % 3 = 0""",
            """update public.killmails set "killmailTime" = "killmailTime" - interval '40 days' where "killmailId" % 5 = 0""",
            'delete from public.killmails where "killmailId" % 7 = 0',
        ):
            writer.execute(write.encode())
            assert_explained(database)
        assert pending(database) > 100
        database.execute("call entity_stats.age_windows(now() - interval '100 days')")
        assert_explained(database)
        database.execute("call entity_stats.backfill_begin(now() - interval '50 days', rebuild => true)")
        database.execute("call entity_stats.backfill_phase('30d', 'alliance')")
        writer.execute('delete from public.killmails where "killmailId" % 11 = 0')
        assert_explained(database)
        database.execute("call entity_stats.backfill(rebuild => true)")
        fold_pending(database)
        assert_explained(database)
        assert_exact(database)


def test_what_is_aside_is_pending(ready: Database) -> None:
    with ledger_locked(ready), ready.connect(user=WRITER) as writer:
        writer.execute("insert into public.killmails select * from test.killmails(5, 2, '0', '1 hour')")
    assert ready.value("select count(*) from entity_stats.aside") == 5
    assert_explained(ready)


def walk(database: Database, page_size: int, period: str = "all") -> list[tuple[Any, ...]]:
    """All pages of alliance 1, one after the other."""
    pages: list[tuple[Any, ...]] = []
    before: tuple[Any, Any] = (None, None)
    while page := database.fetch(
        "select * from public.get_counted_killmails(1, 'alliance', %s, %s, %s, %s)", [period, page_size, *before]
    ):
        assert len(page) >= min(page_size, 1)
        pages += page
        before = (page[-1][1], page[-1][0])
    return pages


@pytest.mark.parametrize("shape", ["plain", "sub-partitioned"], indirect=True)
def test_pages_have_neither_gaps_nor_doubles(ready: Database) -> None:
    """Where many have the same time, the same id, and both sides."""
    ready.execute("alter table public.killmails drop constraint killmails_pkey")
    ready.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "victimAllianceId", "topAttackerAllianceId", "totalValue")
        select -n / 2, date_trunc('hour', now()) - n / 20 * interval '1 microsecond', n %% 3 %% 2, 1, n
        from generate_series(1, 60) as n
    """.replace("%%", "%")
    )
    for period in ("all", "14d"):
        whole = ready.fetch("select * from public.get_counted_killmails(1, 'alliance', %s, 1000000)", [period])
        order = [(row[1].astimezone(UTC), row[0]) for row in whole]  # else an hour in autumn is sorted by the clock
        assert order == sorted(order, reverse=True)
        for page_size in (1, 2, 7, 50):
            assert sorted(map(str, walk(ready, page_size, period))) == sorted(map(str, whole))
    assert_explained(ready)


def test_a_page_reads_as_much_as_it_shows(ready: Database) -> None:
    ready.execute(
        'insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId", "victimAllianceId") '
        "select -n, now() - n * interval '1 hour', 1, 1 + n % 2 from generate_series(1, 6000) as n"
    )
    ready.execute("analyze public.killmails")
    read = "select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables where relname like 'killmails%'"
    middle = ready.fetch("""select "killmailTime", "killmailId" from public.killmails where "killmailId" = -3000""")[0]
    for before in ((None, None), middle):
        with ready.connect(autocommit=False) as session:
            page = session.execute(
                "select * from public.get_counted_killmails(1, 'alliance', 'all', 50, %s, %s)", before
            ).fetchall()
            assert 50 <= len(page) <= 51
            assert session.execute(read).fetchone()[0] < 400  # type: ignore[index]


def test_last_check_and_last_correction(ready: Database) -> None:
    explained = """
        select distinct e.claim, e.run is not null, e."checkedAt" is not null, e.wrong, e."correctedAt" is not null
        from public.explain_entity_stats(%s, 'alliance') as e where e.figure = %s
    """
    assert ready.fetch(explained, [1, "kills"]) == [(None, False, False, None, False)]
    ready.execute(
        'update public.entity_stats_cache set "killsAll" = 4 where "entityId" = 1 and "entityType" = \'alliance\''
    )

    def verify() -> None:
        ready.fetch("select * from entity_stats.run_check(entity_stats.start_run('verify'), 'alliances_are_exact')")

    verify()
    [(claim, run, checked, wrong, corrected)] = ready.fetch(explained, [1, "kills"])
    assert (claim, run, checked, corrected) == ("alliances_are_exact", True, True, False)
    assert wrong.startswith("killsAll is 4, not ")
    assert ready.fetch(explained, [2, "kills"]) == [("alliances_are_exact", True, True, None, False)]

    ready.fetch("select * from entity_stats.recalculate(1, 'alliance')")
    verify()
    assert ready.fetch(explained, [1, "kills"]) == [("alliances_are_exact", True, True, None, True)]
    assert ready.fetch(explained, [1, "losses"]) == [("alliances_are_exact", True, True, None, False)]
    ready.execute("update entity_stats.check_run set offending = 900")
    assert "not known" in ready.fetch(explained, [1, "kills"])[0][3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("explain_entity_stats(1, 'fleet')", "unknown entity type: fleet"),
        ("explain_entity_stats(1, null)", "unknown entity type: null"),
        ("explain_entity_stats(1, 'alliance', '7d')", "unknown period: 7d"),
        ("get_counted_killmails(1, 'fleet')", "unknown entity type: fleet"),
        ("get_counted_killmails(1, 'alliance', null)", "unknown period: null"),
        ("get_counted_killmails(1, 'alliance', 'all', 0)", "at least one killmail, not 0"),
        ("get_counted_killmails(1, 'alliance', 'all', null)", "at least one killmail, not null"),
        ("get_counted_killmails(1, 'alliance', 'all', 5, now(), null)", "before a time and an id"),
        ("get_counted_killmails(1, 'alliance', 'all', 5, null, 7)", "before a time and an id"),
    ],
)
def test_wrong_questions(ready: Database, call: str, message: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=message):
        ready.fetch(f"select * from public.{call}")


@pytest.mark.parametrize("entity", [0, -1, 999, 2**62, None])
def test_unknown_entities_have_no_row(ready: Database, entity: int | None) -> None:
    for function in ("explain_entity_stats", "get_counted_killmails"):
        assert ready.fetch(f"select * from public.{function}(%s, 'alliance')", [entity]) == []
