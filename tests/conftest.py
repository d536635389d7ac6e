"""Fixtures: a PostgreSQL server for the whole run, for each test a fresh database cloned from a template."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.server import EmbeddedServer, compiles_queries
from tests.fixtures.database import Database, Databases
from tests.fixtures.worlds import ready, shape, source, worlds

__all__ = ["ready", "shape", "source", "worlds"]

#: Off UTC by a broken number of hours, with daylight saving: dependence on the session's time zone shows.
TIMEZONE = "America/St_Johns"


def pytest_report_header() -> str:
    """Say whether JIT, which a server has switched on as it comes, is part of what is tested."""
    return f"PostgreSQL: JIT {'on' if compiles_queries() else 'not in this server: make test-pg tests with it'}"


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """The server that the tests share: `PG=16|18` from the wheel, or the binaries in `PG_BIN`."""
    with EmbeddedServer(durable=False, in_memory=True, timezone=TIMEZONE) as server:
        yield server


@pytest.fixture(scope="session")
def databases(server: EmbeddedServer) -> Iterator[Databases]:
    """Makes databases on the shared server, for tests that need more than one."""
    databases = Databases(server)
    yield databases
    databases.close()


@pytest.fixture
def bare(databases: Databases) -> Iterator[Database]:
    """A fresh database with the sample killmails table and nothing of ours."""
    with databases.bare() as database:
        yield database


@pytest.fixture
def site(databases: Databases) -> Iterator[Database]:
    """A fresh database with the sample killmails table and everything deployed."""
    with databases.site() as database:
        yield database


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server for one test: for restarts, crashes, and roles, which all databases of a server share.

    `Databases(own_server).site()` makes databases on it.
    """
    with EmbeddedServer(durable=False, in_memory=True, timezone=TIMEZONE) as server:
        yield server
