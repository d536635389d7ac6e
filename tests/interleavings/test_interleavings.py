"""Every order of the steps of sessions that meet: exact after each, no deadlock, and nobody fails."""

from __future__ import annotations

import pytest

from tests.interleavings.specification import run
from tests.interleavings.specifications import SPECIFICATIONS
from tests.invariants.world import Worlds


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_all_orders(worlds: Worlds, name: str) -> None:
    with worlds.ready("sub-partitioned") as database:
        assert run(SPECIFICATIONS[name], database) > 0
