"""Small worlds for tests: few entities, so that everything collides, in each shape that killmails may have."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from tests.database import SQL, WRITER, Database, Databases, Parameters

#: Killmails of 300 days, most of them young. Three types share the ids 1 to 12, ids are null or 0 as well, values have
#: three decimals or are no numbers, flags may be null. A seed has a million killmail ids of its own.
KILLMAILS = """
create schema test;
create function test.killmails(
    rows bigint, seed bigint, from_age interval default '0', to_age interval default '300 days'
)
returns table (
    "killmailId" bigint, "killmailTime" timestamptz, "solarSystemId" bigint,
    "victimCharacterId" bigint, "victimCorporationId" bigint, "victimAllianceId" bigint, "victimShipTypeId" bigint,
    "topAttackerCharacterId" bigint, "topAttackerCorporationId" bigint, "topAttackerAllianceId" bigint,
    "topAttackerShipTypeId" bigint, "totalValue" double precision, "attackerCount" integer,
    npc boolean, solo boolean, awox boolean
)
language sql
as $$
    select
        1000000 * seed + n,
        now() - from_age - (to_age - from_age) * power(d[1] % 10000 / 10000.0, 3),
        n,
        case d[2] % 10 when 0 then null when 1 then 0 else 1 + d[2] % 12 end,
        case d[3] % 20 when 0 then null else 1 + d[3] % 6 end,
        case d[4] % 4 when 0 then null else 1 + d[4] % 3 end,
        670,
        case d[5] % 10 when 0 then null when 1 then 0 else 1 + d[5] % 12 end,
        case d[6] % 20 when 0 then null else 1 + d[6] % 6 end,
        case d[7] % 4 when 0 then null else 1 + d[7] % 3 end,
        587,
        case d[8] % 12
            when 0 then null when 1 then 'NaN' when 2 then 'Infinity' when 3 then 0 when 4 then 10000
            else d[8] % 10000000000 / 1000.0
        end,
        1 + d[8] % 5,
        case d[9] % 5 when 0 then null else d[9] % 5 = 1 end,
        case d[10] % 5 when 0 then null else d[10] % 5 < 3 end,
        false
    from generate_series(1, rows) as n
    cross join lateral (
        select array_agg(hashint8extended(n, 100 * seed + s) & 9223372036854775807 order by s) as d
        from generate_series(1, 10) as s
    ) as draw
$$;
"""

COLUMNS = """
    "killmailId" bigint not null, "killmailTime" timestamptz not null, "solarSystemId" bigint,
    "victimCharacterId" {id}, "victimCorporationId" {id}, "victimAllianceId" {id}, "victimShipTypeId" bigint,
    "topAttackerCharacterId" {id}, "topAttackerCorporationId" {id}, "topAttackerAllianceId" {id},
    "topAttackerShipTypeId" bigint, "totalValue" {value}, "attackerCount" integer,
    npc boolean, solo boolean, awox boolean, primary key ("killmailId", "killmailTime")
"""

#: Shape -> the statements that make its killmails; none for the sample's own (monthly and yearly partitions, REAL).
SHAPES = {
    "partitioned": "",
    "plain": f"""
        drop table public.killmails cascade;
        create table public.killmails ({COLUMNS.format(id="integer", value="double precision")});
        alter table public.killmails add column zkb json default '{{"hash": 1}}';
    """,
    # One leaf has its columns in another order, as a table has that was attached.
    "sub-partitioned": f"""
        drop table public.killmails cascade;
        create table public.killmails ({COLUMNS.format(id="bigint", value="numeric")}) partition by range ("killmailTime");
        create table public.killmails_old partition of public.killmails for values from (minvalue) to ('2020-01-01 00:00:00+00');
        create table public.killmails_new partition of public.killmails
        for values from ('2020-01-01 00:00:00+00') to (maxvalue) partition by hash ("killmailId");
        create table public.killmails_new_0 partition of public.killmails_new for values with (modulus 2, remainder 0);
        create table public.killmails_new_1 (
            gone text, npc boolean, solo boolean, awox boolean, "totalValue" numeric, "attackerCount" integer,
            "topAttackerShipTypeId" bigint, "topAttackerAllianceId" bigint, "topAttackerCorporationId" bigint,
            "topAttackerCharacterId" bigint, "victimShipTypeId" bigint, "victimAllianceId" bigint,
            "victimCorporationId" bigint, "victimCharacterId" bigint, "solarSystemId" bigint,
            "killmailTime" timestamptz not null, "killmailId" bigint not null
        );
        alter table public.killmails_new_1 drop column gone;
        alter table public.killmails_new attach partition public.killmails_new_1 for values with (modulus 2, remainder 1);
    """,
}

GRANTS = f"""
grant select, insert, update, delete, truncate on all tables in schema public to {WRITER};
grant usage on schema test, sample to {WRITER};
grant usage on all sequences in schema sample to {WRITER};
grant execute on all functions in schema sample to {WRITER};
"""

#: Where the windows of the ready cache begin, for writers, who may not read ours.
CUTOFFS = f"""
create table test.cutoff as select w.period, w.cutoff from entity_stats.time_window as w where w.days is not null;
grant select on test.cutoff to {WRITER};
"""

#: A site whose deploying role may not create event triggers.
WITHOUT_EVENT_TRIGGERS = "drop event trigger entity_stats_ddl; drop event trigger entity_stats_drop"

#: Seconds that a test waits for something that must happen; long, because only a failing test waits so long.
PATIENCE = 60


class Worlds:
    """Databases with 400 killmails, built once per kind and shape, and cloned."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._server = databases.server
        self._numbers = itertools.count(1)
        self._templates: dict[tuple[str, str], Database] = {}
        self._stack = ExitStack()

    @contextmanager
    def source(self, shape: str = "partitioned") -> Iterator[Database]:
        """Killmails of a shape and nothing of ours."""
        with self._clone(self._template("source", shape)) as database:
            yield database

    @contextmanager
    def ready(self, shape: str = "partitioned") -> Iterator[Database]:
        """Killmails of a shape, everything deployed, the cache filled."""
        with self._clone(self._template("ready", shape)) as database:
            yield database

    @contextmanager
    def past(self, shape: str = "partitioned") -> Iterator[Database]:
        """The same, the cache filled as of 210 days ago."""
        with self._clone(self._template("past", shape)) as database:
            yield database

    def close(self) -> None:
        """Drop the templates."""
        self._stack.close()

    def _template(self, kind: str, shape: str) -> Database:
        if (template := self._templates.get((kind, shape))) is None:
            if kind == "source":
                template = self._stack.enter_context(self._databases.bare())
                template.execute(KILLMAILS + SHAPES[shape] + GRANTS)
                template.execute("insert into public.killmails select * from test.killmails(400, 1)")
            else:
                template = self._stack.enter_context(self._clone(self._template("source", shape)))
                template.load(SQL / "deploy.sql")
                days = 210 if kind == "past" else 0
                template.execute(f"call entity_stats.backfill(as_of => now() - {days} * interval '1 day')")
                template.execute("delete from entity_stats.run")  # a test tells of its own
                template.execute(CUTOFFS)
            self._templates[kind, shape] = template
        return template

    @contextmanager
    def _clone(self, template: Database) -> Iterator[Database]:
        template.close()
        database = Database(self._server, f"world_{next(self._numbers)}")
        with psycopg.connect(self._server.conninfo(), autocommit=True) as session:
            session.execute(f"create database {database.name} template {template.name}")
            try:
                yield database
            finally:
                database.close()
                session.execute(f"drop database {database.name} with (force)")


@pytest.fixture(scope="session")
def worlds(databases: Databases) -> Iterator[Worlds]:
    """Makes small worlds on the shared server."""
    worlds = Worlds(databases)
    yield worlds
    worlds.close()


@pytest.fixture
def shape(request: pytest.FixtureRequest) -> str:
    """The shape of killmails: the sample's, unless a test is parametrised."""
    return str(getattr(request, "param", "partitioned"))


@pytest.fixture
def ready(worlds: Worlds, shape: str) -> Iterator[Database]:
    """A small world whose cache is ready."""
    with worlds.ready(shape) as database:
        yield database


@pytest.fixture
def source(worlds: Worlds, shape: str) -> Iterator[Database]:
    """A small world with nothing of ours."""
    with worlds.source(shape) as database:
        yield database


def pending(database: Database) -> int:
    """How many ledger facts wait for a fold."""
    return int(database.value("select s.pending from entity_stats.status() as s"))


def fold_pending(database: Database) -> None:
    """Fold what is pending, in a session of its own."""
    with database.connect() as session:
        session.execute("call entity_stats.fold_pending()")


#: Entities that leaderboards would not find.
MISFILED = """
select c."entityType", c."entityId", o.list
from public.entity_stats_cache as c
cross join lateral entity_stats.over_mark(c) as o
where not exists (select from entity_stats.leader as l where l.list = o.list and l."entityId" = o."entityId")
"""


def assert_exact(database: Database) -> None:
    """The invariant: the cache plus what is pending is the truth now, and the cache alone is once that is folded."""
    differences = "select * from entity_stats.differences()"
    assert database.value("select public.is_stats_cache_populated()")
    assert (found := database.fetch(differences)) == [], found[:8]
    fold_pending(database)
    assert pending(database) == 0
    assert database.value("select count(*) from entity_stats.ledger") == 0
    assert database.oracle() == []
    assert (found := database.fetch(differences)) == [], found[:8]
    assert database.fetch(MISFILED) == []
    assert_history(database)


def drift(database: Database) -> list[tuple[Any, ...]]:
    """What the closed rows of the history lack, pending and late facts taken into account."""
    return [
        row
        for granularity in ("day", "month")
        for row in database.fetch(
            "select * from entity_stats.history_drift(%s, '-infinity', 'infinity')", [granularity]
        )
    ]


def assert_history(database: Database) -> None:
    """The history, what is late and what is pending are the truth now, and without the last once that is folded."""
    assert (found := drift(database)) == [], found[:8]
    assert (found := database.history_oracle()) == [], found[:8]
    fold_pending(database)
    assert pending(database) == 0
    assert (found := database.history_oracle()) == [], found[:8]
    assert (found := drift(database)) == [], found[:8]


def rows_of(database: Database, table: str) -> str:
    """A fingerprint of a table's rows."""
    return str(database.value(f"select md5(string_agg(t::text, ',' order by t::text)) from {table} as t"))


def until(database: Database, query: str, params: Parameters = None) -> None:
    """Ask again until the query's only value is true.

    Raises:
        AssertionError: it was not within PATIENCE; the message shows what the sessions were doing.
    """
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not database.value(query, params):
        if time.monotonic() > deadline:
            sessions = database.fetch(
                "select pid, state, wait_event_type, wait_event, pg_blocking_pids(pid), query "
                "from pg_stat_activity where datname = current_database()"
            )
            raise AssertionError("\n".join([f"never true: {query} {params}", *map(str, sessions)]))
        pause.wait(0.005)


def until_blocked(database: Database, session: psycopg.Connection[Any]) -> None:
    """Wait until a session waits for a lock that another one holds."""
    until(database, "select cardinality(pg_blocking_pids(%s)) > 0", [session.info.backend_pid])


@contextmanager
def killed(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A session that is terminated at the end, in the middle of whatever it does."""
    session = database.connect()
    pid = session.info.backend_pid
    try:
        yield session
    finally:
        database.execute("select pg_terminate_backend(%s)", [pid])
        until(database, "select not exists (select from pg_stat_activity where pid = %s)", [pid])
        session.close()


def deadlocks(database: Database) -> int:
    """Deadlocks in this database so far, those of sessions that are gone included."""
    until(
        database,
        "select count(*) = 1 from pg_stat_activity where datname = current_database() and backend_type = 'client backend'",
    )
    return int(database.value("select deadlocks from pg_stat_database where datname = current_database()"))
