"""entity_stats_recalculate, entity_stats_verify and entity_stats_fold_pending, run by Airflow against a real server."""

from __future__ import annotations

import re

import pytest
from airflow.sdk.exceptions import ParamValidationError

from entity_stats.sql import checks
from tests.dags.conftest import Airflow
from tests.dags.test_daily_cleanup import CORRUPTION


def test_recalculate_mends_listed_entities(ready: Airflow) -> None:
    database = ready.database
    database.execute(CORRUPTION.replace("order by 1, 2", "and e.\"entityType\" = 'character' order by 1, 2"), [2])
    wrong = sorted({row[0] for row in database.oracle()})
    assert len(wrong) == 2
    ids = [*wrong, *range(1, 400)]
    run = ready.run("entity_stats_recalculate", {"entity_type": "character", "entity_ids": ids})
    assert run.state == "success"
    assert run.labels == {
        "listed[0]": "character 1...",
        "listed[1]": "character 201...",
        "listed[2]": f"character {wrong[-1] if len(ids) % 200 == 1 else sorted(ids)[400]}...",
    }
    assert run.tasks["active"] == "skipped"
    assert database.oracle() == []
    assert database.value("select count(*) from entity_stats.correction") == 2
    for entity in wrong:
        assert re.search(rf"\| {entity} +\| character +\| kills90d ", run.log)


def test_recalculate_mends_active_entities(ready: Airflow) -> None:
    ready.database.execute(CORRUPTION, [5])
    run = ready.run("entity_stats_recalculate", {"active_days": 30})
    assert run.state == "success"
    assert run.tasks["listed"] == "skipped"
    assert ready.database.oracle() == []
    assert ready.database.value("select outcome from entity_stats.run where operation = 'recalculation'") == "success"


@pytest.mark.parametrize(
    "conf",
    [{"entity_type": "ship"}, {"entity_ids": ["x"]}, {"entity_ids": [0]}, {"active_days": 0}, {"as_of": "soon"}],
    ids=str,
)
def test_params_are_validated(airflow: Airflow, conf: dict[str, object]) -> None:
    with pytest.raises(ParamValidationError):
        airflow.dag("entity_stats_recalculate").params.update(conf)


def test_ids_need_their_type(ready: Airflow) -> None:
    run = ready.run("entity_stats_recalculate", {"entity_ids": [1]})
    assert run.state == "failed"
    assert run.tasks["listed_or_active"] == "failed"
    assert "Give entity_ids and their entity_type" in run.log


def test_verify_finds_what_the_daily_claims_may_miss(ready: Airflow) -> None:
    database = ready.database
    assert ready.run("entity_stats_verify").state == "success"
    database.execute(
        'update public.entity_stats_cache set "npcLossesAll" = "npcLossesAll" + 1000 where "entityId" = (select max("entityId") from public.entity_stats_cache where "entityType" = \'alliance\')'
    )
    run = ready.run("entity_stats_verify")
    assert run.state == "failed"
    assert run.group("full") == {
        check.claim: "failed" if check.claim in ("alliances_are_exact", "totals_are_conserved") else "success"
        for check in checks("full")
    }
    assert run.tasks["recheck"] == "success"
    assert database.oracle() == []


def test_fold_pending_folds(ready: Airflow) -> None:
    database = ready.database
    assert ready.run("entity_stats_fold_pending").state == "success"
    with database.connect() as session:
        session.execute("set entity_stats.fold = 'deferred'")
        session.execute("select sample.generate_killmails(50, now() - interval '60 days', now(), 7)")
    assert database.value("select pending from entity_stats.status()") > 0
    assert ready.run("entity_stats_fold_pending").tasks == {"look": "success", "fold": "success"}
    assert database.value("select pending from entity_stats.status()") == 0
    assert database.oracle() == []
