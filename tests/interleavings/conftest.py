"""One world for all specifications: what an order changes is put back before the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.database import Database
from tests.fixtures.worlds import Worlds
from tests.interleavings.orders import SAVE


@pytest.fixture(scope="module")
def saved(worlds: Worlds) -> Iterator[Database]:
    """A ready cache over a table whose partitions have partitions, that `run` puts back."""
    with worlds.ready("sub-partitioned") as database:
        database.execute(SAVE)
        yield database
