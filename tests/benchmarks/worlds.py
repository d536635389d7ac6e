"""Databases to measure in: the same killmails without any cache, with each baseline, and with ours."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg

from demo.server import EmbeddedServer
from tests.database import ROOT, SQL, Database

HERE = Path(__file__).parent

#: What has its own database; floor has no trigger at all.
VARIANTS = ("floor", "ours", "statement-trigger", "row-trigger")

#: Years of killmails, of which the windows are the end.
YEARS = 5

#: Killmails of the last hours that benchmarks insert again and again, under new ids.
FEED = """
create schema bench;
create sequence bench.id start 9000000000;
create table bench.feed as
select row_number() over () as n, k.*
from sample.killmails({rows}, now() - interval '6 hours', now(), 1, 7000000000) as k;
alter table bench.feed add primary key (n);
"""


class Bench:
    """A server with one database per variant, cloned from one world of killmails.

    Args:
        server: a running server; its durability decides what a COMMIT costs.
        rows: killmails of the past.
        feed: killmails to insert from.
    """

    def __init__(self, server: EmbeddedServer, rows: int, feed: int) -> None:
        self.server = server
        self.rows = rows
        self.feed = feed
        world = Database(server, "world")
        with closing(psycopg.connect(server.conninfo(), autocommit=True)) as session:
            session.execute("create database world")
        world.load(SQL / "sample" / "killmails.sql", SQL / "sample" / "generate_killmails.sql")
        world.execute(f"select sample.generate_killmails({rows}, now() - interval '{YEARS} years', now())")
        world.execute(FEED.format(rows=feed))
        world.execute("vacuum analyze")
        world.close()

    def clone(self, name: str) -> Database:
        """A database with the killmails and nothing else, replacing one of that name."""
        with closing(psycopg.connect(self.server.conninfo(), autocommit=True)) as session:
            session.execute(f'drop database if exists "{name}" with (force)')
            session.execute(f'create database "{name}" template world strategy file_copy')
        return Database(self.server, name)

    def variants(self, names: Sequence[str] = VARIANTS) -> dict[str, Database]:
        """A database per variant, its cache filled."""
        return {name: self.variant(name) for name in names}

    def variant(self, name: str) -> Database:
        """One database, its cache filled by the variant's own backfill."""
        database = self.clone(name)
        if name == "ours":
            database.load(SQL / "deploy.sql")
            database.execute("call entity_stats.backfill()")
            database.execute("vacuum analyze public.entity_stats_cache")
        elif name != "floor":
            database.load(SQL / "3_cache" / "entity_stats_cache.sql", HERE / f"{name.replace('-', '_')}.sql")
            database.load(HERE / "four_phases.sql")
            database.execute("call baseline.backfill()")
            database.execute("vacuum analyze baseline.entity_stats_cache")
        return database


def assert_exact(database: Database) -> None:
    """The oracle and differences() find nothing once everything is folded.

    Raises:
        RuntimeError: the cache is wrong: no figure of this run counts.
    """
    database.execute("call entity_stats.fold_pending()")
    wrong = database.oracle() or database.fetch("select * from entity_stats.differences()")
    if wrong:
        raise RuntimeError(f"the cache is wrong after the benchmark: {wrong[:5]}")


__all__ = ["ROOT", "VARIANTS", "Bench", "assert_exact"]
