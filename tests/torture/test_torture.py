"""The torture in short: it holds, it does something of everything, and its judge sees what is wrong."""

from __future__ import annotations

import pytest

from local.server import EmbeddedServer
from tests.fixtures.database import WRITER
from tests.torture import judgement
from tests.torture.__main__ import SETTINGS, main
from tests.torture.world import World
from tests.torture.writers import Writer

#: A capture that fails the ingest.
BROKEN = """
create or replace function public.update_entity_stats_on_insert() returns trigger language plpgsql as $$
begin
    raise exception 'entity_stats is broken';
end
$$
"""


def test_a_site_that_is_tortured_for_a_moment(capsys: pytest.CaptureFixture[str]) -> None:
    failed = main(["--minutes=0", "--round=12", "--clients=4", "--seed=1"])
    printed = capsys.readouterr().out
    with capsys.disabled():
        print(f"\n{printed}")
    assert not failed, printed


def test_the_judge_sees_what_is_wrong() -> None:
    with EmbeddedServer(durable=False, in_memory=True, settings=SETTINGS) as server:
        world = World(server, [], 1)
        world.build()
        findings, healed = list[str](), list[str]()
        judgement.judge(world, world.database, findings, healed)
        assert (findings, healed) == ([], [])
        world.database.execute(
            """update public.entity_stats_cache set "killsAll" = "killsAll" + 1 where "entityId" = 1"""
        )
        judgement.judge(world, world.database, findings, healed)
        assert any("3 cells are wrong" in finding for finding in findings), findings
        findings.clear()
        judgement.judge(world, world.database, findings, healed)
        assert findings == [], "a rebuild has put it right"

        world.database.execute(
            "update entity_stats.day set kills = kills + 1 where kills = (select max(kills) from entity_stats.day)"
        )
        judgement.judge(world, world.database, findings, healed)
        assert "rows are wrong in the history as it was" in findings[0]
        assert len(findings) == 1, "it was filled anew"
        assert healed == world.findings == []

        findings.clear()
        for expected in ("not explained by nothing: the cache was stale: column solo", None):
            world.database.execute("alter table public.killmails drop solo, add solo boolean")
            judgement.judge(world, world.database, findings, healed)
            assert findings == []
            assert [finding.startswith(str(expected)) for finding in world.findings] == [True] * bool(expected)
            world.findings.clear()
            world.begun.add("column dropped")
        assert len(healed) == 2

        world.database.execute(BROKEN)
        writer = Writer(world, 0, "1", 1)
        writer.steps = ["copy"]
        writer.session = world.database.connect(user=WRITER)
        writer.take(writer.session.info.backend_pid, 0)
        [failure] = world.tally.unexplained
        assert "entity_stats is broken" in failure.message
        writer.session.close()
        world.database.close()
