"""Generated killmails follow the calibration, and the same arguments give the same rows anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from local import SAMPLE
from tests.fixtures.database import Database, Databases

#: Six days have this many killmails; most of the calibration is about them.
SIX_DAYS = 83_228

CALL = "sample.killmails(%s, '2026-03-02 00:00:00+00', '2026-03-08 00:00:00+00', %s)"


@pytest.fixture(scope="module")
def world(databases: Databases) -> Iterator[Database]:
    """A database with six days of killmails in the temporary view `party` and table `k`."""
    with databases.bare() as database:
        database.execute(f"create temporary table k as select r.* from {CALL} as r", [SIX_DAYS, 11])
        database.execute(
            """
            create temporary view party as
            select p.type, p.side, p.id, k."killmailId" as killmail
            from k
            cross join lateral (
                values
                    ('character', 'victim', k."victimCharacterId"),
                    ('corporation', 'victim', k."victimCorporationId"),
                    ('alliance', 'victim', k."victimAllianceId"),
                    ('character', 'attacker', k."topAttackerCharacterId"),
                    ('corporation', 'attacker', k."topAttackerCorporationId"),
                    ('alliance', 'attacker', k."topAttackerAllianceId")
            ) as p (type, side, id)
            """
        )
        yield database


def number(database: Database, sql: str) -> float:
    return float(database.value(sql))


@pytest.mark.parametrize(("type_", "distinct"), [("character", 34_181), ("corporation", 6_427), ("alliance", 765)])
def test_distinct_entities(world: Database, type_: str, distinct: int) -> None:
    found = world.value("select count(distinct id) from party where type = %s", [type_])
    assert found == pytest.approx(distinct, rel=0.05)


@pytest.mark.parametrize(
    ("type_", "side", "share"),
    [
        ("character", "victim", 1.8),
        ("character", "attacker", 15.0),
        ("corporation", "victim", 0.0),
        ("corporation", "attacker", 7.0),
        ("alliance", "victim", 31.7),
        ("alliance", "attacker", 32.2),
    ],
)
def test_share_of_nobodies(world: Database, type_: str, side: str, share: float) -> None:
    nulls = world.value(
        "select 100 * avg((id is null)::integer) from party where type = %s and side = %s", [type_, side]
    )
    assert float(nulls) == pytest.approx(share, abs=0.7)


@pytest.mark.parametrize(("side", "share"), [("victim", 26), ("attacker", 21)])
def test_top_ten_alliances(world: Database, side: str, share: float) -> None:
    top = world.value(
        """
        select 100.0 * sum(t.killmails) / %s
        from (
            select count(*) as killmails from party
            where type = 'alliance' and side = %s and id is not null
            group by id order by 1 desc limit 10
        ) as t
        """,
        [SIX_DAYS, side],
    )
    assert float(top) == pytest.approx(share, abs=2)


@pytest.mark.parametrize(("type_", "exponent"), [("Character", 0.40), ("Corporation", 0.65), ("Alliance", 1.30)])
def test_zipf_exponents(world: Database, type_: str, exponent: float) -> None:
    """The slope of frequency over rank, in logarithms, below the head and where counts are large enough."""
    rows = 10 * SIX_DAYS
    slope = world.value(
        f"""
        select -regr_slope(ln(t.killmails), ln(t.rank))
        from (
            select
                count(*) as killmails,
                row_number() over (order by count(*) desc) as rank
            from {CALL} as k
            where k."victim{type_}Id" is not null
            group by k."victim{type_}Id"
        ) as t
        where t.rank between 100 and %s
        """,
        [rows, 3, {"Character": 20_000, "Corporation": 8_000, "Alliance": 500}[type_]],
    )
    assert slope == pytest.approx(exponent, abs=0.12)


@pytest.mark.parametrize(("type_", "share"), [("Character", 0.07), ("Corporation", 0.9), ("Alliance", 1.2)])
def test_same_entity_on_both_sides(world: Database, type_: str, share: float) -> None:
    same = number(
        world, f'select 100.0 * count(*) / {SIX_DAYS} from k where "victim{type_}Id" = "topAttacker{type_}Id"'
    )
    assert same == pytest.approx(share, rel=0.35)


def test_flags(world: Database) -> None:
    assert number(world, "select 100 * avg(npc::integer) from k") == pytest.approx(14.8, abs=0.5)
    assert number(world, "select 100 * avg(solo::integer) from k") == pytest.approx(38.4, abs=0.7)
    assert world.value("select count(*) from k where npc and solo") == 0
    assert world.value("select count(*) from k where awox") > 0


def test_attackers(world: Database) -> None:
    [(mean, quantiles)] = world.fetch(
        """
        select
            avg("attackerCount")::double precision,
            percentile_disc(array[0.5, 0.9, 0.99]) within group (order by "attackerCount")
        from k
        """
    )
    assert mean == pytest.approx(5.1, abs=0.3)
    assert quantiles == [2, 9, pytest.approx(63, abs=6)]
    assert world.value('select min("attackerCount") from k') == 1


def test_isk(world: Database) -> None:
    capsules = number(world, 'select 100 * avg(("totalValue" = 10000)::integer) from k')
    assert capsules == pytest.approx(12.7, abs=0.5)
    [(mu, sigma)] = world.fetch(
        'select avg(ln("totalValue")), stddev(ln("totalValue")) from k where "totalValue" <> 10000'
    )
    assert mu == pytest.approx(17.4, abs=0.05)
    assert sigma == pytest.approx(2.5, abs=0.05)


def test_hours_of_the_day(world: Database) -> None:
    ratio = number(
        world,
        """
        select count(*) filter (where h.hour between 19 and 21) / 3.0 / count(*) filter (where h.hour = 7)
        from (select extract(hour from k."killmailTime" at time zone 'UTC') as hour from k) as h
        """,
    )
    assert ratio == pytest.approx(2.6, abs=0.1)


def test_cache_rows_per_killmail(world: Database) -> None:
    assert number(world, f"select count(id) / {SIX_DAYS}.0 from party") == pytest.approx(5.1, abs=0.05)


def test_entities_in_a_batch_of_100(world: Database) -> None:
    touched = number(
        world,
        """
        select avg(b.entities)
        from (
            select count(distinct (type, id)) as entities from party
            where id is not null
            group by killmail / 100
        ) as b
        """,
    )
    assert touched == pytest.approx(290, abs=20)


def test_ids_follow_time_and_times_keep_the_range(world: Database) -> None:
    assert world.value(
        """
        select bool_and(k."killmailTime" >= k.earlier)
        from (
            select
                k."killmailTime",
                lag(k."killmailTime", 1, '-infinity') over (order by k."killmailId") as earlier
            from k
        ) as k
        """
    )
    assert world.fetch(
        """
        select
            min("killmailTime") >= '2026-03-02 00:00:00+00',
            max("killmailTime") < '2026-03-08 00:00:00+00',
            count(distinct "killmailId")
        from k
        """
    ) == [(True, True, SIX_DAYS)]


def test_killmails_arrive_late_and_out_of_order(bare: Database) -> None:
    """Delays differ by hours: most killmails arrive after newer ones, hardly one after a day newer."""
    [(late, hours, day)] = bare.fetch(
        f"""
        select
            avg((o."killmailTime" < o.newest)::integer)::double precision,
            avg((o."killmailTime" < o.newest - interval '2 hours')::integer)::double precision,
            avg((o."killmailTime" < o.newest - interval '1 day')::integer)::double precision
        from (
            select r."killmailTime", max(r."killmailTime") over (order by r.ordinality) as newest
            from {CALL} with ordinality as r
        ) as o
        """,
        [20_000, 1],
    )
    assert late > 0.7
    assert hours > 0.4
    assert day < 0.01


@pytest.mark.parametrize(
    "settings",
    [
        "set timezone = 'Asia/Tokyo'",
        "set enable_sort = off",
        "set jit_above_cost = 0",
        "set datestyle = 'SQL, DMY'",
    ],
)
def test_the_same_arguments_give_the_same_rows(world: Database, settings: str) -> None:
    """On PostgreSQL 15, 16 and 18 alike: another figure means another world behind every seed."""
    with world.connect() as session:
        session.execute(settings)
        fingerprint = session.execute(
            f"""
            select md5(string_agg(
                concat_ws(
                    ',', r."killmailId", extract(epoch from r."killmailTime")::bigint,
                    r."solarSystemId", r."victimCharacterId", r."victimCorporationId", r."victimAllianceId",
                    r."victimShipTypeId", r."topAttackerCharacterId", r."topAttackerCorporationId",
                    r."topAttackerAllianceId", r."topAttackerShipTypeId", r."totalValue", r."attackerCount",
                    r.npc, r.solo, r.awox
                ),
                ';' order by r.ordinality
            ))
            from {CALL} with ordinality as r
            """,
            [5_000, 42],
        ).fetchone()
    assert fingerprint == ("b7b4e6cc7cd3cd78d37673dbb8f9cf69",)


def test_seeds_differ_and_do_not_share_ids(bare: Database) -> None:
    [(ids, victims)] = bare.fetch(
        f"""
        select
            count(*) filter (where a."killmailId" = b."killmailId"),
            count(*) filter (where a."victimCorporationId" = b."victimCorporationId")
        from {CALL} with ordinality as a
        full join {CALL} with ordinality as b using (ordinality)
        """,
        [1_000, 1, 1_000, 2],
    )
    assert ids == 0
    assert victims < 50


def generate(database: Database, *arguments: Any) -> int:
    holes = ", ".join(["%s"] * len(arguments))
    return int(database.value(f"select sample.generate_killmails({holes})", arguments))


def test_generating_inserts_once(bare: Database) -> None:
    span = ("2026-03-02 00:00:00+00", "2026-03-08 00:00:00+00")
    assert generate(bare, 1_000, *span, 5) == 1_000
    assert generate(bare, 1_000, *span, 5) == 0
    assert generate(bare, 1_000, *span, 6) == 1_000
    assert generate(bare, 10, *span, 6, 7_000_000_000) == 10
    assert generate(bare, 0, *span) == 0
    assert bare.value("select count(*) from public.killmails") == 2_010
    assert bare.value("select count(*) from public.killmails_default") == 0


def test_generating_makes_missing_partitions(bare: Database) -> None:
    assert generate(bare, 100, "2097-12-15 00:00:00+00", "2098-01-15 00:00:00+00") == 100
    assert bare.fetch("select distinct k.tableoid::regclass::text from public.killmails as k order by 1") == [
        ("killmails_2097_12",),
        ("killmails_2098_01",),
    ]


def test_rows_of_the_default_partition_stay_where_they_are(bare: Database) -> None:
    bare.execute("""insert into public.killmails ("killmailId", "killmailTime") values (1, '2097-12-20Z')""")
    assert generate(bare, 100, "2097-12-15 00:00:00+00", "2098-01-15 00:00:00+00") == 100
    assert bare.value("select to_regclass('public.killmails_2097_12')") is None
    assert bare.value("select count(*) from public.killmails_2098_01") > 0


@pytest.mark.parametrize(
    ("rows", "from_time", "to_time", "message"),
    [
        (-1, "2026-03-02", "2026-03-08", "rows must be 0 or more"),
        (None, "2026-03-02", "2026-03-08", "rows must be 0 or more"),
        (1, "2026-03-08", "2026-03-08", "from_time must be before to_time"),
        (1, None, "2026-03-08", "from_time must be before to_time"),
        (1, "2026-03-02", "infinity", "finite range"),
    ],
)
def test_nonsense_is_refused(
    bare: Database, rows: int | None, from_time: str | None, to_time: str, message: str
) -> None:
    with pytest.raises(psycopg.Error, match=message):
        bare.value("select sample.generate_killmails(%s, %s, %s)", [rows, from_time, to_time])


def test_live_killmails_are_fresh_at_each_call(bare: Database) -> None:
    live = "insert into public.killmails select * from sample.live_killmails(20)"
    with bare.connect() as other:
        for _ in range(3):
            assert bare.execute(live) == 20
            assert other.execute(live).rowcount == 20
    assert bare.fetch(
        """
        select
            count(distinct k."killmailId"),
            count(distinct k."victimCorporationId") > 40,
            bool_and(k."killmailTime" between now() - interval '1 day 1 minute' and now())
        from public.killmails as k
        """
    ) == [(120, True, True)]


def test_the_sample_can_be_installed_again(bare: Database) -> None:
    assert generate(bare, 10, "2026-03-02", "2026-03-08") == 10
    bare.load(SAMPLE)
    assert bare.value("select count(*) from public.killmails") == 10
    assert bare.fetch("select * from sample.create_partitions('2007-01-01 00:00:00+00', now())") == [(0,)]
