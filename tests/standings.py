"""What leaderboards and ranks must say, counted again from the killmails by tests/standings.sql, and what they do say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import product
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.rows import class_row

from tests.fixtures.database import ROOT, Database

STANDINGS = (ROOT / "tests" / "standings.sql").read_text().rstrip().removesuffix(";")

TYPES = ("character", "corporation", "alliance")
PERIODS = ("all", "90d", "30d", "14d")
SCOPES = ("players", "all")

#: Metric -> the column that has its figure.
METRICS = {"kills": "kills", "isk": "iskDestroyed", "efficiency": "efficiency", "solo": "soloKills"}
#: Metrics with ranks -> the column that has it.
RANKS = {"kills": "killsRank", "isk": "iskRank", "efficiency": "efficiencyRank"}

BOARD: LiteralString = "select * from public.get_top_entities_from_cache(%s, %s, %s, %s, %s, %s)"
LEAST_EFFICIENT = 10


class Board(NamedTuple):
    """A question to a leaderboard, and how its answer differs."""

    kind: str
    period: str
    metric: str
    scope: str
    most: int | None
    least: int | None
    got: list[Any]
    expected: list[Any]


Row = dict[str, Any]

#: Type, period and scope -> every entity.
Standings = dict[tuple[str, str, str], list[Row]]


def recount(database: Database) -> Standings:
    """Every entity in each period and scope."""
    standings: Standings = {board: [] for board in product(TYPES, PERIODS, SCOPES)}
    with database.connect() as session, session.cursor(row_factory=class_row(dict)) as cursor:
        for row in cursor.execute(STANDINGS.encode()):
            standings[row["entityType"], row["period"], row["scope"]].append(row)
    return standings


def expected(rows: Iterable[Row], metric: str, least: int | None) -> list[tuple[Any, ...]]:
    """The rows of a leaderboard without a limit, of entities of one type, period and scope."""
    column = METRICS[metric]
    enough = max(least if least is not None else LEAST_EFFICIENT if metric == "efficiency" else 1, 1)
    best = sorted(
        (row for row in rows if row["kills"] >= enough and (metric == "efficiency" or row[column] > 0)),
        key=lambda row: (-row[column], -row["kills"], row["entityId"]),
    )
    return [tuple(list(row.values())[2:-3]) for row in best]


def wrong_boards(
    database: Database,
    *,
    kinds: Iterable[str] = TYPES,
    most: Iterable[int | None] = (1, 10, 30),
    least: Iterable[int | None] = (None, 12, 15),
    standings: Standings | None = None,
) -> list[Board]:
    """Every leaderboard of some types that does not agree with the recount (made now, unless it is given)."""
    standings = standings or recount(database)
    wrong = []
    for kind, period, scope, metric, enough in product(kinds, PERIODS, SCOPES, METRICS, least):
        right = expected(standings[kind, period, scope], metric, enough)
        for count in most:
            got = database.fetch(BOARD, [kind, period, metric, scope, count, enough])
            if got != right[:count]:
                wrong.append(Board(kind, period, metric, scope, count, enough, got, right[:count]))
    return wrong


def ranks(standings: Standings) -> Iterator[tuple[str, int, str, str, int, Decimal | int]]:
    """Type, id, period, metric, rank and figure of everybody who has one."""
    for (_, _, scope), rows in standings.items():
        for row in rows if scope == "players" else ():
            for metric, column in RANKS.items():
                if row[column] is not None:
                    yield (row["entityType"], row["entityId"], row["period"], metric, row[column], row[METRICS[metric]])


#: Every stored rank, in the same form.
STORED: LiteralString = """
select r."entityType", r."entityId", r.period, v.metric, v.rank, v.figure
from entity_stats.rank as r
cross join lateral (
    values
    ('kills', r."killsRank", r.kills::numeric), ('isk', r."iskRank", r.isk), ('efficiency', r."efficiencyRank", r.efficiency)
) as v (metric, rank, figure)
where v.rank is not null
"""

#: What the function says of everybody who is in the cache, in the same form.
SAID: LiteralString = """
select c."entityType", c."entityId", w.period, k.metric, k.rank, k.figure
from public.entity_stats_cache as c
cross join entity_stats.time_window as w
cross join lateral public.get_entity_rank(c."entityId", c."entityType", w.period) as k
"""


def said(session: psycopg.Connection[Any], query: LiteralString) -> set[tuple[Any, ...]]:
    """The rows of STORED or SAID."""
    return set(session.execute(query).fetchall())
