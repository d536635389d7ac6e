"""Fixtures of small worlds, and of a server whose roles are the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.server import EmbeddedServer
from tests.conftest import TIMEZONE
from tests.database import Databases
from tests.invariants.world import ready, shape, source, worlds

__all__ = ["own_databases", "ready", "shape", "source", "worlds"]


@pytest.fixture(scope="module")
def own_databases() -> Iterator[Databases]:
    """Databases on a server without the roles of the cache, which all databases of a server share."""
    with EmbeddedServer(durable=False, timezone=TIMEZONE) as server:
        databases = Databases(server)
        yield databases
        databases.close()
