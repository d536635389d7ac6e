"""The read API answers what an independent recount of the killmails answers, or says what is wrong with the question."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest

from local.load_csv import load
from tests.fixtures.database import RECOUNT, ROOT, Database, Databases
from tests.fixtures.worlds import MISFILED, Worlds
from tests.standings import METRICS, PERIODS, SCOPES, TYPES, Standings, expected, recount, wrong_boards

REAL_FILE = ROOT.parent / "shared" / "data" / "killmails_2021-11-27_28.csv.gz"

#: How many entities are asked for one by one where each takes milliseconds, from either end.
FEW = int(os.environ.get("ENTITIES", "20"))

#: How many rows leaderboards are asked for.
LIMITS = (0, 1, 7, 100, None)

#: Function -> its call for one row of the recount r; all must return that row.
BY_ENTITY = {
    "get_entity_stats": 'get_entity_stats(r."entityId", r."entityType", r.period)',
    "get_entity_stats_from_cache": 'get_entity_stats_from_cache(r."entityId", r."entityType", r.period)',
    **{f"get_{kind}_stats_from_cache": f'get_{kind}_stats_from_cache(r."entityId", r.period)' for kind in TYPES},
}


#: NPC corporations and their neighbours by id, with and without kills that a player took part in; somebody has no other kills.
NOT_PLAYERS = """
insert into public.killmails ("killmailId", "killmailTime", "topAttackerCorporationId", "totalValue", npc, solo)
select 70000000 + 100 * c.nth + n, now() - n * interval '1 day', c.id, 1e6 * n, n % c.every = 0, n % 4 = 1
from unnest(
    array[999999, 1000000, 1000125, 1999999, 2000000, 98000001, 98000002], array[2, 1, 3, 2, 3, 1, 5]
) with ordinality as c (id, every, nth)
cross join generate_series(1, 40) as n
"""


@pytest.fixture(scope="module")
def small(worlds: Worlds) -> Iterator[Database]:
    """Killmails of 300 days, the cache ready; all periods differ."""
    with worlds.ready() as database:
        database.execute(NOT_PLAYERS)
        database.execute(f'create table test.recount as {RECOUNT}; create index on test.recount ("entityId")')
        yield database


@pytest.fixture(scope="module")
def real(databases: Databases) -> Iterator[Database]:
    """34,909 real killmails of two days; the 14-day window begins in the middle of them."""
    if not REAL_FILE.exists():
        pytest.skip(f"the real killmails are not here: {REAL_FILE.name}")
    with databases.site() as database:
        load(REAL_FILE, database.uri)
        database.execute("call entity_stats.backfill('2021-12-12 06:00:00+00')")
        database.execute(
            f"create schema test; create table test.recount as {RECOUNT}; "
            'create index on test.recount ("entityId"); analyze'
        )
        yield database


@pytest.fixture(params=["small", "real"])
def world(request: pytest.FixtureRequest) -> Database:
    database: Database = request.getfixturevalue(request.param)
    return database


def test_the_worlds_tell_periods_apart(world: Database) -> None:
    rows = world.fetch("select sum(kills) from test.recount where period in ('all', '14d') group by period")
    assert len(set(rows)) == 2


@pytest.mark.parametrize("function", BY_ENTITY)
def test_every_entity_in_every_period(world: Database, function: str) -> None:
    kind = next((kind for kind in TYPES if kind in function), None)
    rows = world.fetch(
        f"""
        select r.*, s.*
        from (select * from test.recount where %(kind)s::text is null or "entityType" = %(kind)s) as r
        left join lateral (select t from public.{BY_ENTITY[function]} as t) as s on true
        where s.t is distinct from row(
            r."entityId", r."entityType", r.kills, r.losses, r."iskDestroyed", r."iskLost", r.efficiency,
            r."iskEfficiency", r."killLossRatio", r."soloKills", r."soloLosses", r."npcKills", r."npcLosses",
            r."lastKillTime", r."lastLossTime"
        )::entity_stats.stats
        limit 5
        """,
        {"kind": kind},
    )
    assert rows == []


@pytest.mark.parametrize("kind", TYPES)
def test_views(world: Database, kind: str) -> None:
    """A view has a row where there are killmails, the recount one for every entity and period."""
    expected = f"""
        select * from test.recount where "entityType" = '{kind}' and kills + losses > 0
    """
    view = f"select * from public.{kind}_stats"
    assert world.fetch(f"({view} except {expected}) limit 5") == []
    assert world.fetch(f"({expected} except {view}) limit 5") == []
    assert world.value(f"select count(*) from ({view}) as v") == world.value(f"select count(*) from ({expected}) as e")


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("period", [*PERIODS, "30 years"])
def test_without_the_cache(world: Database, kind: str, period: str) -> None:
    """The busiest and the least busy entities, straight from killmails; `make test-reads` asks for all of them."""
    length = period if period not in PERIODS else None
    rows = world.fetch(
        """
        select r."entityId"
        from (
            (select * from test.recount where "entityType" = %(kind)s and period = %(period)s order by kills desc, "entityId" limit %(few)s)
            union
            (select * from test.recount where "entityType" = %(kind)s and period = %(period)s order by kills, "entityId" limit %(few)s)
        ) as r
        left join lateral (
            select v.*
            from public.get_entity_stats_from_view(r."entityId", r."entityType", r.period) as v
            where %(length)s::interval is null
            union all
            select w.*
            from public.get_entity_stats_for_window(r."entityId", r."entityType", %(length)s::interval) as w
            where %(length)s::interval is not null
        ) as s on true
        where row(r.*)::test.recount is distinct from row(r.period, s.*)::test.recount
        """,
        {"kind": kind, "period": "all" if length else period, "length": length, "few": FEW},
    )
    assert rows == []


@pytest.mark.parametrize("period", PERIODS)
def test_several_at_once_in_the_order_asked_for(world: Database, period: str) -> None:
    for kind in TYPES:
        rows = world.fetch(
            'select "entityId" from test.recount where "entityType" = %s and period = %s order by md5("entityId"::text)',
            [kind, period],
        )
        ids = [entity_id for [entity_id] in rows]
        asked = [ids[0], -1, *ids, 404]
        got = world.fetch(
            "select * from public.get_multiple_entity_stats_from_cache(%s, %s, %s)", [asked, kind, period]
        )
        assert [row[0] for row in got] == [ids[0], *ids]
        expected = {
            row[1]: row[1:]
            for row in world.fetch('select * from test.recount where "entityType" = %s and period = %s', [kind, period])
        }
        assert all(row == expected[row[0]] for row in got)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("period", PERIODS)
def test_top_by_kills(world: Database, period: str, scope: str, kind: str) -> None:
    right = expected(standings(world)[kind, period, scope], "kills", None)
    for most in (*LIMITS, 100_000):
        got = world.fetch(
            "select * from public.get_top_entities_by_kills_from_cache(%s, %s, %s, %s)", [kind, period, most, scope]
        )
        assert got == right[:most]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("min_kills", [-1, 1, 9, 10, 11, 20, 55, 500])
@pytest.mark.parametrize("scope", SCOPES)
def test_top_by_efficiency(world: Database, scope: str, min_kills: int, kind: str) -> None:
    for period in PERIODS:
        right = expected(standings(world)[kind, period, scope], "efficiency", min_kills)
        for most in LIMITS:
            got = world.fetch(
                "select * from public.get_top_entities_by_efficiency_from_cache(%s, %s, %s, %s, %s)",
                [kind, period, min_kills, most, scope],
            )
            assert got == right[:most]


@pytest.mark.parametrize("kind", TYPES)
def test_top_by_any_metric(world: Database, kind: str) -> None:
    assert wrong_boards(world, kinds=[kind], most=LIMITS, least=(None, 1, 11), standings=standings(world)) == []


def test_players_are_the_default(world: Database) -> None:
    """And leave out NPC corporations, and what they alone have killed; the world has both."""
    for call in (
        "get_top_entities_from_cache('corporation', max_entities => null)",
        "get_top_entities_by_kills_from_cache('corporation', max_entities => null)",
    ):
        got = world.fetch(f"select * from public.{call}")
        assert got == expected(standings(world)["corporation", "all", "players"], "kills", None)
        assert not [row for row in got if 1000000 <= row[0] <= 1999999]
    everybody = expected(standings(world)["corporation", "all", "all"], "kills", None)
    assert len(everybody) > len(got) > 0
    assert {row[0]: row[2] + row[11] for row in got}.items() <= {row[0]: row[2] for row in everybody}.items()


def standings(world: Database) -> Standings:
    """The recount that the world was made with."""
    if world.name not in RECOUNTS:
        RECOUNTS[world.name] = recount(world)
    return RECOUNTS[world.name]


#: By the name of a module's database.
RECOUNTS: dict[str, Standings] = {}

#: Every class and the edges between them, on both sides of each rung: kills, ISK destroyed, ISK lost.
CONTENDERS = """
insert into public.killmails (
    "killmailId", "killmailTime", "victimAllianceId", "topAttackerAllianceId", "totalValue", npc, solo
)
select
    900000000 + row_number() over (), now(),
    case when side = 'loss' then 5000 + n end, case when side = 'kill' then 5000 + n end,
    case when side = 'loss' then lost else 1000000 end,
    n % 6 = 5 and (n = 5 or row_number() over () % 3 = 0), n % 4 = 1 and row_number() over () % 2 = 0
from generate_series(1, 60) as n
cross join lateral (select 8 + n % 13 as kills, (array[0, 0, 0.01, 1, 4, 5, 6, 50000, 101010.10, 101010.11, 5e6])[1 + n % 11] as lost) as a
cross join lateral (
    select 'kill' as side from generate_series(1, kills)
    union all
    select 'loss' where lost > 0
) as k
"""


@pytest.fixture
def contest(worlds: Worlds) -> Iterator[Database]:
    with worlds.ready() as database:
        database.execute(CONTENDERS)
        database.execute("call entity_stats.fold_pending()")
        yield database


#: What moves entities over marks and below: up by kills, down by losses, by deletions, by a price.
CHANGES = (
    'insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId", "totalValue") '
    "select 990000000 + n, now(), 5000 + n % 20, 3e9 from generate_series(1, 200) as n",
    'insert into public.killmails ("killmailId", "killmailTime", "victimAllianceId", "totalValue") '
    "select 991000000 + n, now(), 5000 + n % 20, 1e5 * n from generate_series(1, 60) as n",
    'delete from public.killmails where "killmailId" between 990000000 and 990000150',
    'delete from public.killmails where "victimAllianceId" > 5000 and "killmailId" % 2 = 0',
    'update public.killmails set "totalValue" = "totalValue" * 300 where "topAttackerAllianceId" % 7 = 0',
    'delete from public.killmails where "topAttackerAllianceId" > 5030',
)


@pytest.mark.parametrize("most", [250, 20, 3, 0])
def test_leaderboards_follow_every_change(contest: Database, most: int) -> None:
    """Whether lists have everybody, less than is asked for, or nobody; the marks stay as they were before the changes."""
    contest.execute("call entity_stats.mark_leaders(%s)", [most])
    assert wrong_boards(contest, kinds=["alliance"]) == []
    for change in CHANGES:
        contest.execute(change)
        contest.execute("call entity_stats.fold_pending()")
        assert wrong_boards(contest, kinds=["alliance"]) == [], change
    assert contest.fetch(MISFILED) == []


@pytest.mark.parametrize("most", [250, 20, 3, 1, 0])
def test_no_list_has_many_more_than_wanted(contest: Database, most: int) -> None:
    """Ties included, but for those within a rounding of the mark by efficiency. Lists of before are gone."""
    contest.execute("call entity_stats.mark_leaders(5)")
    contest.execute("call entity_stats.mark_leaders(%s)", [most])
    lists = contest.fetch(
        """
        select
            m.complete,
            count(*) filter (where s.kills >= m.kills),
            count(*) filter (where s."iskDestroyed" >= m.isk),
            count(*) filter (where s."soloKills" >= m.solo),
            count(*) filter (where s.kills >= m."efficientKills" and s.efficiency >= m.efficiency),
            count(l.*)
        from entity_stats.mark as m
        left join public.entity_stats_cache as l on m."entityType" = l."entityType" and m.list & l.leads <> 0
        left join entity_stats.cached() as c on l."entityId" = c."entityId" and m."entityType" = c."entityType" and m.periods = c.periods
        left join lateral entity_stats.in_scope(c, 'players') as s on true
        group by m."entityType", m.list
        """
    )
    assert len(lists) == 12
    assert {complete for complete, *_ in lists} == {True}
    assert max(max(by_metric) for _, *by_metric, _ in lists) <= most
    if most in (3, 20):
        assert max(max(by_metric) for _, *by_metric, _ in lists) > most / 2, "marks are not drawn too high"
    assert contest.fetch(MISFILED) == []
    contest.execute("call entity_stats.mark_leaders(%s)", [most])
    assert contest.fetch("select from public.entity_stats_cache as c where c.leads & 15 <> c.leads / 16") == [], (
        "the other lists have nobody of before"
    )


def test_lists_of_a_big_cache_are_judged_by_a_sample(worlds: Worlds) -> None:
    """They have about as many entities as are wanted, and who must be on them is."""
    with worlds.ready() as database:
        database.execute(
            """
            insert into public.entity_stats_cache ("entityId", "entityType", "killsAll", "iskDestroyedAll")
            select 7000000000 + n, 'alliance', n, n * 1e7 from generate_series(1, 150000) as n
            """
        )
        database.execute("analyze public.entity_stats_cache")
        # Else all of them must be on the lists of the small cache, too.
        database.execute("delete from entity_stats.mark")
        database.execute("call entity_stats.mark_leaders()")
        by_kills, by_isk = database.fetch(
            """
            select
                count(*) filter (where c."killsAll" >= m.kills),
                count(*) filter (where c."iskDestroyedAll" >= m.isk)
            from entity_stats.mark as m
            inner join public.entity_stats_cache as c on m."entityType" = c."entityType"
            where m."entityType" = 'alliance' and m.periods = 1
            """
        )[0]
        assert 125 < by_kills < 500
        assert 125 < by_isk < 500
        assert by_kills != 250, "a sample would not find the place by chance"
        assert database.fetch(MISFILED) == []
        best = database.fetch("select \"entityId\" from get_top_entities_from_cache('alliance', max_entities => 100)")
        assert best == [(7000150000 - n,) for n in range(100)]


def test_a_leaderboard_reads_its_list(contest: Database) -> None:
    """And not the cache: who has been taken off the list is missed."""
    contest.execute("call entity_stats.mark_leaders(20)")
    for metric in METRICS:
        question = (
            f"select \"entityId\" from get_top_entities_from_cache('alliance', metric => '{metric}', max_entities => 1)"
        )
        best = contest.value(question)
        contest.execute('update public.entity_stats_cache set leads = 0 where "entityId" = %s', [best])
        assert contest.value(question) != best


def test_lists_are_made_anew_with_the_cache(contest: Database) -> None:
    """Entities that had their kills before a TRUNCATE keep no place; a big cache is emptied in small steps."""
    contest.execute("create table test.kept as select * from public.killmails limit 300")
    contest.execute("truncate public.killmails; insert into public.killmails select * from test.kept")
    contest.execute("call entity_stats.backfill()")
    assert contest.fetch(MISFILED) == []
    assert wrong_boards(contest, kinds=["alliance"]) == []


def test_an_unknown_entity_has_no_row(small: Database) -> None:
    for period in PERIODS:
        for kind in TYPES:
            for call in (
                "get_entity_stats(404404, %(kind)s, %(period)s)",
                "get_entity_stats_from_cache(404404, %(kind)s, %(period)s)",
                "get_entity_stats_from_view(404404, %(kind)s, %(period)s)",
                f"get_{kind}_stats_from_cache(404404, %(period)s)",
                "get_multiple_entity_stats_from_cache(array[404404], %(kind)s, %(period)s)",
            ):
                assert small.fetch(f"select * from public.{call}", {"kind": kind, "period": period}) == []


@pytest.mark.parametrize(
    "call",
    [
        "get_entity_stats(1, {kind}, {period})",
        "get_entity_stats_from_cache(1, {kind}, {period})",
        "get_entity_stats_from_view(1, {kind}, {period})",
        "get_multiple_entity_stats_from_cache(array[1], {kind}, {period})",
        "get_top_entities_by_kills_from_cache({kind}, {period})",
        "get_top_entities_by_efficiency_from_cache({kind}, {period})",
        "get_top_entities_from_cache({kind}, {period})",
        "get_entity_rank(1, {kind}, {period})",
    ],
)
def test_a_bad_question_is_told_the_good_ones(small: Database, call: str) -> None:
    for kind in ("'player'", "null", "'Character'", "''"):
        question = call.format(kind=kind, period="'all'")
        with pytest.raises(psycopg.errors.InvalidParameterValue) as error:
            small.fetch(f"select * from public.{question}")
        assert error.value.diag.message_hint == "Entity types are character, corporation and alliance."
    for period in ("'7d'", "null", "'ALL'", "''"):
        question = call.format(kind="'alliance'", period=period)
        with pytest.raises(psycopg.errors.InvalidParameterValue) as error:
            small.fetch(f"select * from public.{question}")
        assert error.value.diag.message_hint == "Periods are all, 90d, 30d and 14d."


@pytest.mark.parametrize("length", ["1 hour", "6 hours", "24 hours", "7 days", "1 month", "0.5 seconds", "1000 days"])
def test_any_window(small: Database, length: str) -> None:
    """In the time zone of the tests, which is far from UTC and has daylight saving; a week is a week of UTC days."""
    since = "(now() at time zone 'UTC' - %(length)s::interval) at time zone 'UTC'"
    source = f'from (select * from public.killmails where "killmailTime" >= {since}) as k'
    recount = RECOUNT.replace("from public.killmails as k", source)
    assert recount != RECOUNT
    with small.connect(autocommit=False) as session:
        session.execute("set local jit = off")
        rows = session.execute(
            f"""
            select e."entityId", e."entityType", r, s
            from (select distinct "entityId", "entityType" from test.recount) as e
            left join ({recount}) as r
                on e."entityId" = r."entityId" and e."entityType" = r."entityType" and r.period = 'all'
            left join lateral public.get_entity_stats_for_window(e."entityId", e."entityType", %(length)s) as s on true
            where r."entityId" is distinct from s."entityId"
                or r."entityId" is not null and row(r.*)::test.recount is distinct from row('all', s.*)::test.recount
            """,
            {"length": length},
        ).fetchall()
    assert rows == []


@pytest.mark.parametrize("length", ["0", "-1 hour", None])
def test_a_window_needs_a_length(small: Database, length: str | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="must be positive"):
        small.fetch("select * from public.get_entity_stats_for_window(1, 'alliance', %s)", [length])


def test_a_window_names_the_index_that_is_missing(worlds: Worlds) -> None:
    with worlds.ready() as database, database.connect() as session:
        notices: list[tuple[str | None, str | None]] = []
        session.add_notice_handler(lambda d: notices.append((d.message_primary, d.message_hint)))
        question = "select * from public.get_entity_stats_for_window(1, 'corporation', '7 days')"
        expected = session.execute(question).fetchall()
        assert notices == []
        session.execute("drop index public.killmails_victim_corporation")
        assert session.execute(question).fetchall() == expected
        [notice] = notices
        assert '"victimCorporationId"' in str(notice[0])
        assert str(notice[1]).startswith("create index")


#: What makes a ready cache one that must not be read -> the statement.
UNREADY = {
    "status row missing": "delete from entity_stats.state",
    "empty": "update entity_stats.state set status = 'empty'; delete from public.entity_stats_cache",
    "half built": "update entity_stats.state set status = 'backfilling'; "
    'delete from public.entity_stats_cache where "entityId" % 2 = 0; update public.entity_stats_cache set "killsAll" = 0',
    "being restored": "drop trigger trigger_update_entity_stats_on_insert on public.killmails; truncate public.entity_stats_cache",
    "invalidated": "insert into public.entity_stats_invalidation (reason) values ('test'); truncate public.entity_stats_cache",
}


@pytest.mark.parametrize("fault", UNREADY)
def test_reads_fall_back_to_the_views(worlds: Worlds, fault: str) -> None:
    with worlds.ready() as database:
        expected = database.fetch(f"{RECOUNT} order by 1, 2, 3")
        database.execute(UNREADY[fault])
        got = database.fetch(
            f"""
            select r.period, s.*
            from ({RECOUNT}) as r
            cross join lateral public.get_entity_stats(r."entityId", r."entityType", r.period) as s
            order by 1, 2, 3
            """
        )
        assert got == expected
        assert len(database.fetch("select * from public.get_stats_cache_summary()")) == 1


def test_during_a_rebuild_readers_keep_the_live_numbers(worlds: Worlds) -> None:
    with worlds.ready() as database:
        database.execute("call entity_stats.backfill_begin(rebuild => true)")
        question = "select kills from public.{}(5, 'alliance', 'all')"
        database.execute(
            'insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId", "totalValue") values (1, now(), 5, 1)'
        )
        assert database.value("select rebuilding from entity_stats.status()")
        assert database.value("select public.is_stats_cache_populated()")
        assert database.value(question.format("get_entity_stats")) == 1
        assert database.value(question.format("get_entity_stats_from_cache")) == 1


def test_summary(small: Database) -> None:
    [row] = small.fetch(
        """
        select
            s.characters = c.characters,
            s.corporations = c.corporations,
            s.alliances = c.alliances,
            s.total = c.total,
            s."sizeBytes" = pg_total_relation_size('public.entity_stats_cache'),
            s."sizePretty" = pg_size_pretty(s."sizeBytes"),
            s.status = 'ready', s.pending = 0, s."verifiedAt" is null, s."failedClaims" is null,
            s."asOf90d" - interval '2160 hours' = (select cutoff from entity_stats.time_window where period = '90d'),
            s."asOf30d" - interval '720 hours' = (select cutoff from entity_stats.time_window where period = '30d'),
            s."asOf14d" - interval '336 hours' = (select cutoff from entity_stats.time_window where period = '14d')
        from public.get_stats_cache_summary() as s
        cross join (
            select
                count(*) filter (where "entityType" = 'character') as characters,
                count(*) filter (where "entityType" = 'corporation') as corporations,
                count(*) filter (where "entityType" = 'alliance') as alliances,
                count(*) as total
            from public.entity_stats_cache
        ) as c
        """
    )
    assert set(row) == {True}


def test_summary_of_a_cache_that_was_never_filled(site: Database) -> None:
    [row] = site.fetch('select total, status, "asOf90d", "asOf14d", "verifiedAt" from public.get_stats_cache_summary()')
    assert row == (0, "empty", None, None, None)


def test_summary_has_the_last_verification(worlds: Worlds) -> None:
    with worlds.ready() as database:
        database.execute("insert into entity_stats.run (operation, \"finishedAt\") values ('verify', now())")
        for claim, offending in (("a_holds", 0), ("b_does_not", 3)):
            database.execute(
                "insert into entity_stats.check_run (run, claim, severity, offending, duration) "
                "select max(run), %s, 'fail', %s, '1 ms' from entity_stats.run",
                [claim, offending],
            )
        assert database.fetch(
            'select "verifiedAt" is not null, "failedClaims" from public.get_stats_cache_summary()'
        ) == [(True, 1)]


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read", "read committed"])
def test_reads_in_read_only_transactions(small: Database, isolation: str) -> None:
    with small.connect() as session:
        session.execute(f"begin transaction isolation level {isolation}, read only")
        for call in everything():
            session.execute(f"select * from {call}").fetchall()
        xid = session.execute("select pg_current_xact_id_if_assigned()").fetchone()
        assert xid == (None,)


def everything() -> list[str]:
    """One call or view of each kind that readers have."""
    return [
        "public.get_entity_stats(1, 'alliance', '30d')",
        "public.get_entity_stats_from_cache(1, 'alliance', '30d')",
        "public.get_entity_stats_from_view(1, 'alliance', '30d')",
        "public.get_entity_stats_for_window(1, 'alliance', '90 days')",
        "public.get_entity_history(1, 'alliance', 'day')",
        "public.get_multiple_entity_history(array[1, 2], 'alliance', zeros => true)",
        "public.get_entity_history_from_view(1, 'alliance')",
        "public.get_entity_first_times(1, 'alliance')",
        "public.explain_entity_stats(1, 'alliance', '30d')",
        "public.get_counted_killmails(1, 'alliance', '30d', 20)",
        "public.get_character_stats_from_cache(1, '30d')",
        "public.get_corporation_stats_from_cache(1, '30d')",
        "public.get_alliance_stats_from_cache(1, '30d')",
        "public.get_multiple_entity_stats_from_cache(array[1, 2], 'alliance', '30d')",
        "public.get_top_entities_by_kills_from_cache('alliance', '30d', 5)",
        "public.get_top_entities_by_efficiency_from_cache('alliance', '30d', 10, 5)",
        "public.get_top_entities_from_cache('alliance', '30d', 'isk', 'all')",
        "public.get_entity_rank(1, 'alliance', '30d')",
        "public.is_stats_cache_populated()",
        "public.get_stats_cache_summary()",
        "public.character_stats",
        "public.corporation_stats",
        "public.alliance_stats",
        "public.entity_months",
        "public.entity_days",
    ]
