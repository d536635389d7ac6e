"""Databases to measure in: the same killmails without any cache, with each baseline, and with ours."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg

from local import SAMPLE
from local.server import EmbeddedServer
from tests.fixtures.database import Database

HERE = Path(__file__).parent

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


#: Where packages put servers of their own.
INSTALLED = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")


def server(settings: Mapping[str, str], *, durable: bool = True) -> EmbeddedServer:
    """A server to measure on: PG or PG_BIN decides, else it is the newest one installed with JIT, which sites have; the wheel has none."""
    installed = [folder for pattern in INSTALLED for folder in Path("/").glob(pattern)]
    compiling = [f for f in installed if (f / "pgbench").exists() and (f.parent / "lib" / "llvmjit.so").exists()]
    newest = max(compiling, key=lambda f: int(re.sub(r"\D", "", f.parent.name)), default=None)
    chosen = {"PG", "PG_BIN"} & os.environ.keys()
    return EmbeddedServer(binaries=None if chosen else newest, settings=settings, durable=durable)


def described(database: Database) -> str:
    """The server's version, and whether it compiles queries just in time."""
    return str(
        database.value(
            "select version() || ', JIT '"
            " || case when not pg_jit_available() then 'not installed' else current_setting('jit') end"
        )
    )


class Bench:
    """A server with one database per variant, cloned from one world of killmails.

    Args:
        server: a running server; its durability decides what a COMMIT costs.
        rows: killmails of the past.
        feed: killmails to insert from.
        name: of the database that the others are cloned from.
    """

    def __init__(self, server: EmbeddedServer, rows: int, feed: int, name: str = "world") -> None:
        self.server = server
        self.rows = rows
        self.feed = feed
        self.name = name
        world = Database(server, name)
        with closing(psycopg.connect(server.conninfo(), autocommit=True)) as session:
            session.execute(f"create database {name}")
        world.load(SAMPLE)
        world.execute(f"select sample.generate_killmails({rows}, now() - interval '{YEARS} years', now())")
        world.execute(FEED.format(rows=feed))
        world.execute("vacuum analyze")
        world.close()

    def clone(self, name: str, template: str | None = None) -> Database:
        """A database with the killmails, or a copy of the template, replacing one of that name."""
        with closing(psycopg.connect(self.server.conninfo(), autocommit=True)) as session:
            session.execute(f'drop database if exists "{name}" with (force)')
            session.execute(f'create database "{name}" template "{template or self.name}" strategy file_copy')
        return Database(self.server, name)

    def variants(self, ours: Database, baseline: Database) -> dict[str, Database]:
        """A database per variant, from two whose caches have been filled: with ours, and by the baseline's backfill."""
        ours.execute("vacuum analyze public.entity_stats_cache")
        baseline.execute("vacuum analyze baseline.entity_stats_cache")
        baseline.close()
        variants = {"floor": self.clone("floor"), "ours": ours}
        for name in ("statement-trigger", "row-trigger"):
            variants[name] = self.clone(name, template=baseline.name)
            variants[name].load(HERE / f"{name.replace('-', '_')}.sql")
        return variants


def assert_exact(database: Database) -> None:
    """The oracle and differences() find nothing once everything is folded.

    Raises:
        RuntimeError: the cache is wrong: no figure of this run counts.
    """
    database.execute("call entity_stats.fold_pending()")
    other = Database(database.server, database.name)
    with ThreadPoolExecutor(1) as pool, closing(other):
        differences = pool.submit(other.fetch, "select * from entity_stats.differences()")
        wrong = database.oracle() + differences.result()
    if wrong:
        raise RuntimeError(f"the cache is wrong after the benchmark: {wrong[:5]}")
