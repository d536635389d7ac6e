"""The torture in short: it holds, it does something of everything, and its judge sees what is wrong."""

from __future__ import annotations

import pytest

from demo.server import EmbeddedServer
from tests.torture import recount
from tests.torture.__main__ import SETTINGS, main
from tests.torture.world import World


def test_a_site_that_is_tortured_for_a_moment(capsys: pytest.CaptureFixture[str]) -> None:
    failed = main(["--minutes=0", "--round=12", "--clients=4", "--seed=1"])
    printed = capsys.readouterr().out
    with capsys.disabled():
        print(f"\n{printed}")
    assert not failed, printed


def test_the_judge_sees_what_is_wrong() -> None:
    with EmbeddedServer(durable=False, settings=SETTINGS) as server:
        world = World(server, [], 1)
        world.build()
        findings, healed = list[str](), list[str]()
        recount.judge(world, world.database, findings, healed)
        assert (findings, healed) == ([], [])
        world.database.execute(
            """update public.entity_stats_cache set "killsAll" = "killsAll" + 1 where "entityId" = 1"""
        )
        recount.judge(world, world.database, findings, healed)
        assert "3 cells are wrong" in findings[0]
        assert len(findings) == 1, "a rebuild has put it right"
        world.database.close()
