"""The judge itself: on totals that are worked out by hand it finds what is wrong, and nothing else."""

from __future__ import annotations

import pytest

from tests.fixtures.database import Database

#: What the specification's table has, and the cutoffs, made here so that nothing of the project is called.
CACHE = """
create schema entity_stats;
create table entity_stats.time_window (period text primary key, cutoff timestamptz not null);
insert into entity_stats.time_window values
    ('all', '-infinity'), ('90d', '2026-01-01 00:00:00+00'),
    ('30d', '2026-03-02 00:00:00+00'), ('14d', '2026-03-18 00:00:00+00');
create table public.entity_stats_cache (
    "entityId" bigint, "entityType" text,
    "killsAll" bigint, "lossesAll" bigint, "iskDestroyedAll" numeric, "iskLostAll" numeric,
    "soloKillsAll" bigint, "soloLossesAll" bigint, "npcKillsAll" bigint, "npcLossesAll" bigint,
    "kills90d" bigint, "losses90d" bigint, "iskDestroyed90d" numeric, "iskLost90d" numeric,
    "soloKills90d" bigint, "soloLosses90d" bigint, "npcKills90d" bigint, "npcLosses90d" bigint,
    "kills30d" bigint, "losses30d" bigint, "iskDestroyed30d" numeric, "iskLost30d" numeric,
    "soloKills30d" bigint, "soloLosses30d" bigint, "npcKills30d" bigint, "npcLosses30d" bigint,
    "kills14d" bigint, "losses14d" bigint, "iskDestroyed14d" numeric, "iskLost14d" numeric,
    "soloKills14d" bigint, "soloLosses14d" bigint, "npcKills14d" bigint, "npcLosses14d" bigint,
    "lastKillTime" timestamp, "lastLossTime" timestamp, "updatedAt" timestamp,
    primary key ("entityId", "entityType")
);
"""

#: On the 14-day cutoff, a microsecond before it, on the 90-day cutoff, long ago. Character 1 is on both sides
#: of the first, alliance 30 of the last; ids 0 and null are nobody.
KILLMAILS = """
insert into public.killmails (
    "killmailId", "killmailTime", "victimCharacterId", "victimCorporationId", "victimAllianceId",
    "topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId", "totalValue", npc, solo
) values
    (1, '2026-03-18 00:00:00+00', 1, 20, 0, 1, 10, null, 10000, false, true),
    (2, '2026-03-17 23:59:59.999999+00', 2, 20, null, 1, 10, 0, 27916344, null, null),
    (3, '2026-01-01 00:00:00+00', 2, 20, null, null, 10, null, null, true, false),
    (4, '2015-06-07 08:09:10+00', null, 20, 30, 2, 20, 30, 0.5, false, false);
"""

#: Per period: kills, losses, ISK destroyed, lost, solo kills, losses, npc kills, losses; then the last times.
ROWS = """
insert into public.entity_stats_cache values
    (1, 'character', 2, 1, 27926344, 10000, 1, 1, 0, 0,  2, 1, 27926344, 10000, 1, 1, 0, 0,
        2, 1, 27926344, 10000, 1, 1, 0, 0,  1, 1, 10000, 10000, 1, 1, 0, 0,
        '2026-03-18 00:00:00', '2026-03-18 00:00:00', null),
    (2, 'character', 1, 2, 0.50, 27916344, 0, 0, 0, 1,  0, 2, 0, 27916344, 0, 0, 0, 1,
        0, 1, 0, 27916344.00, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,
        '2015-06-07 08:09:10', '2026-03-17 23:59:59.999999', now()),
    (10, 'corporation', 3, 0, 27926344, 0, 1, 0, 1, 0,  3, 0, 27926344, 0, 1, 0, 1, 0,
        2, 0, 27926344, 0, 1, 0, 0, 0,  1, 0, 10000, 0, 1, 0, 0, 0,
        '2026-03-18 00:00:00', null, now()),
    (20, 'corporation', 1, 4, 0.5, 27926344.5, 0, 1, 0, 1,  0, 3, 0, 27926344, 0, 1, 0, 1,
        0, 2, 0, 27926344, 0, 1, 0, 0,  0, 1, 0, 10000, 0, 1, 0, 0,
        '2015-06-07 08:09:10', '2026-03-18 00:00:00', now()),
    (30, 'alliance', 1, 1, 0.5, 0.5, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,
        '2015-06-07 08:09:10', '2015-06-07 08:09:10', now()),
    -- Somebody whose killmails were deleted: zeros are as good as no row.
    (99, 'alliance', 0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  null, null, now());
"""


@pytest.fixture
def world(bare: Database) -> Database:
    """The hand-made killmails with the cache that belongs to them."""
    bare.execute(CACHE)
    bare.execute(KILLMAILS)
    bare.execute(ROWS)
    return bare


def test_what_is_right_has_no_differences(world: Database) -> None:
    assert world.oracle() == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ('set "kills14d" = 2', ("kills14d", "2", "1")),
        (
            'set "iskDestroyedAll" = "iskDestroyedAll" - 0.01',
            ("iskDestroyedAll", "27926343.99", "27926344.00"),
        ),
        ('set "npcLosses90d" = null', ("npcLosses90d", None, "0")),
        ('set "lastKillTime" = null', ("lastKillTime", None, "2026-03-18 00:00:00")),
        (
            """set "lastLossTime" = '2026-03-18 00:00:01'""",
            ("lastLossTime", "2026-03-18 00:00:01", "2026-03-18 00:00:00"),
        ),
    ],
)
def test_one_wrong_cell_is_one_row(world: Database, change: str, found: tuple[str | None, ...]) -> None:
    world.execute(f"""update public.entity_stats_cache {change} where "entityId" = 1""")
    assert world.oracle() == [(1, "character", *found)]


def test_each_cell_is_compared(world: Database) -> None:
    """Each column gets a wrong value of its own, and is reported by its own name with that value."""
    columns = world.fetch(
        """
        select a.attname, format_type(a.atttypid, null) from pg_attribute as a
        where a.attrelid = 'public.entity_stats_cache'::regclass and a.attnum > 2 and a.attname <> 'updatedAt'
        """
    )
    assert len(columns) == 34
    wrong = {
        name: f"2000-01-01 00:00:{number}" if type_.startswith("timestamp") else str(-number)
        for number, (name, type_) in enumerate(columns, start=10)
    }
    changes = ", ".join(f"\"{name}\" = '{value}'" for name, value in wrong.items())
    world.execute(f'update public.entity_stats_cache set {changes} where "entityId" = 10')
    found = world.oracle()
    assert {(number, type_) for number, type_, *_ in found} == {(10, "corporation")}
    assert {column: cached for _, _, column, cached, _ in found} == wrong


def test_a_missing_row_counts_as_zeros(world: Database) -> None:
    world.execute("""delete from public.entity_stats_cache where "entityType" = 'alliance'""")
    assert world.oracle() == [
        (30, "alliance", "iskDestroyedAll", "0", "0.50"),
        (30, "alliance", "iskLostAll", "0", "0.50"),
        (30, "alliance", "killsAll", "0", "1"),
        (30, "alliance", "lastKillTime", None, "2015-06-07 08:09:10"),
        (30, "alliance", "lastLossTime", None, "2015-06-07 08:09:10"),
        (30, "alliance", "lossesAll", "0", "1"),
    ]


def test_a_row_too_many_is_found(world: Database) -> None:
    world.execute("""insert into public.entity_stats_cache select (c).* from (
        select jsonb_populate_record(c, '{"entityId": 0}') as c from public.entity_stats_cache as c
        where c."entityId" = 30
    ) as c""")
    assert {row[:2] for row in world.oracle()} == {(0, "alliance")}


def test_a_moved_cutoff_changes_its_window_only(world: Database) -> None:
    world.execute(
        """update entity_stats.time_window set cutoff = cutoff + interval '1 microsecond' where period = '14d'"""
    )
    assert {column[-3:] for _, _, column, _, _ in world.oracle()} == {"14d"}


@pytest.mark.parametrize(
    ("type_", "value", "isk"),
    [
        ("real", "27916343.48", "27916344.00"),
        ("real", "0.125", "0.13"),
        ("real", "0.1", "0.10"),
        ("double precision", "27916343.48", "27916343.48"),
        ("double precision", "1.005", "1.01"),
        ("double precision", "123456789012.345", "123456789012.35"),
        ("numeric", "27916343.485", "27916343.49"),
        ("numeric", "12345678901234567890.125", "12345678901234567890.13"),
        ("numeric(20, 4)", "1234567890123456.7891", "1234567890123456.79"),
        ("real", "NaN", "0"),
        ("real", "Infinity", "0"),
        ("double precision", "-Infinity", "0"),
        ("numeric", "NaN", "0"),
        ("numeric", "Infinity", "0"),
    ],
)
def test_isk_of_each_type(world: Database, type_: str, value: str, isk: str) -> None:
    world.execute("truncate public.killmails, public.entity_stats_cache")
    world.execute(f'alter table public.killmails alter column "totalValue" type {type_}')
    world.execute(
        f"""
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "totalValue")
        values (5, '2020-01-01 00:00:00+00', 5, '{value}')
        """
    )
    lost = [actual for _, _, column, _, actual in world.oracle() if column == "iskLostAll"]
    assert lost == ([] if isk == "0" else [isk])
