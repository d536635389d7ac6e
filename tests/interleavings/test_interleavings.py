"""Every order of the steps of sessions that meet: exact after each, no deadlock, and nobody fails."""

from __future__ import annotations

import pytest

from tests.fixtures.database import Database
from tests.interleavings.orders import run
from tests.interleavings.specifications import SPECIFICATIONS


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_all_orders(saved: Database, capsys: pytest.CaptureFixture[str], name: str) -> None:
    tally = run(SPECIFICATIONS[name], saved)
    assert tally.orders > 0
    assert tally.unjudged < tally.looks, "a table was locked at each look: nothing was judged in between"
    if tally.unjudged:
        with capsys.disabled():
            print(f"\n{name}: {tally.orders} orders, {tally.unjudged} of {tally.looks} looks found a table locked")
