"""A server whose roles are the tests' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.server import EmbeddedServer
from tests.conftest import TIMEZONE
from tests.fixtures.database import Databases


@pytest.fixture(scope="module")
def own_databases() -> Iterator[Databases]:
    """Databases on a server without the roles of the cache, which all databases of a server share."""
    with EmbeddedServer(durable=False, in_memory=True, timezone=TIMEZONE) as server:
        databases = Databases(server)
        yield databases
        databases.close()
