"""The demo's judgement, on few killmails and without Airflow: it must see what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from demo.run import demonstrate
from demo.world import BACKFILL, Say
from tests.fixtures.database import SQL, STRANGER, WRITER, Database

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)


class SqlSite:
    """A small killboard on which the DAGs' operations are done by SQL, as a site without Airflow does them."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def conninfo(self, **parameters: Any) -> str:
        return self.database.server.conninfo(self.database.name, **parameters)

    def run(self, dag_id: str, conf: Mapping[str, Any], say: Say) -> None:
        if dag_id == BACKFILL:
            self.database.load(SQL / "deploy.sql")
            self.database.execute("call entity_stats.backfill(%s)", [conf["as_of"]])
        else:
            self.database.execute("call entity_stats.age_windows(%s)", [conf["as_of"]])


@pytest.fixture
def site(bare: Database) -> SqlSite:
    bare.execute(f"""
        grant usage on schema sample to {WRITER};
        grant usage on all sequences in schema sample to {WRITER};
        grant execute on all functions in schema sample to {WRITER};
    """)
    bare.fetch("select sample.generate_killmails(3000, %s, %s)", [AS_OF - timedelta(days=120), AS_OF])
    return SqlSite(bare)


def test_an_exact_cache_passes(site: SqlSite) -> None:
    said: list[str] = []
    outcome = demonstrate(site, AS_OF, said.append, writer=WRITER, enough=1)
    assert outcome.good, said
    killmails = site.database.value("select count(*) from public.killmails")
    entities = site.database.value("select count(*) from public.entity_stats_cache")
    assert killmails > 3000
    assert str(outcome) == f"demo: {killmails:,} killmails, {entities:,} entities, 0 differing cells"
    # The cleanup has moved the windows from the day before to the moment itself.
    cutoff = """select cutoff from entity_stats.time_window where period = '14d'"""
    assert site.database.value(cutoff) == AS_OF - timedelta(days=14)


def test_one_wrong_cell_fails(site: SqlSite) -> None:
    def corrupt() -> None:
        changed = site.database.execute("""
            update public.entity_stats_cache set "kills90d" = "kills90d" + 1
            where ("entityId", "entityType") = (
                select "entityId", "entityType" from public.entity_stats_cache order by "killsAll" desc limit 1
            )
        """)
        assert changed == 1

    said: list[str] = []
    outcome = demonstrate(site, AS_OF, said.append, writer=WRITER, enough=1, corrupt=corrupt)
    assert not outcome.good
    assert [cell[2] for cell in outcome.cells] == ["kills90d"]
    assert str(outcome).endswith(" 1 differing cells")
    # Both judges see it, and the cell is shown.
    assert sum(bool(re.search(r"Verified by .*: 1 differing cells", line)) for line in said) == 2
    assert any("kills90d |" in line for line in said)


def test_live_sessions_that_fail_and_too_few_killmails_fail(site: SqlSite) -> None:
    outcome = demonstrate(site, AS_OF, lambda _: None, writer=STRANGER)
    assert not outcome.good
    assert outcome.cells == []
    assert sum("permission denied" in problem for problem in outcome.problems) == 2
    assert any("at least 1,000 are needed" in problem for problem in outcome.problems)
