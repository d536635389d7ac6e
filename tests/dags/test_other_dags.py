"""entity_stats_recalculate, entity_stats_verify and entity_stats_fold_pending, run by Airflow against a real server."""

from __future__ import annotations

import re

import pytest
from airflow.sdk.exceptions import ParamValidationError

from entity_stats.errors import ParamsRefused
from entity_stats.parts import ids_of
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
    [
        {"entity_type": "ship"},
        {"entity_ids": ["x"]},
        {"entity_ids": "1, x"},
        {"entity_ids": [0]},
        {"entity_ids": [True]},
        {"active_days": 0},
        {"of_run": 0},
        {"as_of": "soon"},
    ],
    ids=str,
)
def test_params_are_validated(airflow: Airflow, conf: dict[str, object]) -> None:
    with pytest.raises(ParamValidationError):
        airflow.dag("entity_stats_recalculate").params.update(conf)


@pytest.mark.parametrize(
    ("typed", "ids"),
    [
        (None, []),
        ("", []),
        ("7\n5", [5, 7]),
        (" 7,5;\r\n5\t", [5, 7]),
        ([7, "5"], [5, 7]),
        (str(2**63 - 1), [2**63 - 1]),
    ],
)
def test_ids_are_taken_as_people_write_them(typed: str | list[str | int] | None, ids: list[int]) -> None:
    assert ids_of(typed) == ids


@pytest.mark.parametrize("typed", ["0", "5\n0", str(2**63)])
def test_ids_that_cannot_be_are_refused(typed: str) -> None:
    with pytest.raises(ParamsRefused, match="from 1 to 9223372036854775807: not"):
        ids_of(typed)


REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("entity_stats_recalculate", {"ids": [1]}, "There is no param ids: this DAG has entity_type, entity_ids"),
    ("entity_stats_backfill", {"rebuilt": True}, "There is no param rebuilt: this DAG has as_of, rebuild"),
    ("entity_stats_fold_pending", {"as_of": "2025-01-01T00:00Z"}, "There is no param as_of: this DAG has none."),
    ("entity_stats_daily_cleanup", {"as_of": "2026-02-30T00:00Z"}, "as_of is 2026-02-30T00:00Z, which is not a date"),
    ("entity_stats_daily_cleanup", {"as_of": "2099-01-01T00:00:00"}, "which lies in the future"),
    ("entity_stats_verify", {"as_of": "2099-01-01T00:00:00+02:00"}, "which lies in the future"),
]


@pytest.mark.parametrize(("dag_id", "conf", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_a_run_with_params_that_cannot_be_meant_does_nothing(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch, dag_id: str, conf: dict[str, object], message: str
) -> None:
    # It does not even connect.
    monkeypatch.setenv("AIRFLOW_CONN_ENTITY_STATS_DB", "postgresql://nobody@127.0.0.1:1/nowhere")
    run = airflow.run(dag_id, conf)
    assert run.state == "failed"
    assert set(run.tasks.values()) == {"failed", "upstream_failed"}
    assert list(run.tasks.values()).count("failed") == 1
    assert message in run.log
    assert f"{dag_id}: these params are refused" in run.log
    assert "trigger the DAG again with other params" in run.log


@pytest.mark.usefixtures("few_claims")
def test_what_a_run_has_found_is_repaired_and_proved(ready: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_ENTITY_STATS_REPAIR_MOST", "2")
    database = ready.database
    database.execute(CORRUPTION, [3])
    assert ready.run("entity_stats_daily_cleanup").state == "failed"
    verdict = "select verdict from entity_stats.status()"
    assert database.value(verdict) == "suspect"
    found = database.value("select run from entity_stats.run where operation = 'cleanup'")

    assert ready.run("entity_stats_recalculate", {"of_run": found}).state == "failed"  # the limit
    assert database.value(verdict) == "suspect"
    monkeypatch.setenv("AIRFLOW_VAR_ENTITY_STATS_REPAIR_MOST", "3")
    run = ready.run("entity_stats_recalculate", {"of_run": found})
    assert run.state == run.tasks["recheck"] == "success"
    assert run.tasks["active"] == "skipped"
    assert database.oracle() == []
    assert database.value(verdict) == "right"
    refused = ready.run("entity_stats_recalculate", {"of_run": found, "entity_ids": "5"})
    assert refused.tasks["listed_or_active"] == "failed"


@pytest.mark.usefixtures("few_claims")
def test_a_night_that_was_missed_is_told(filled: Airflow) -> None:
    filled.database.execute("call entity_stats.backfill(now() - interval '27 hours')")
    run = filled.run("entity_stats_fold_pending")
    assert run.tasks == {"look": "success", "fold": "success", "night": "failed"}
    assert "14d, 30d, 90d were last aged at" in run.log
    assert "What to do: no cleanup has aged the windows in the last 26 hours" in run.log
    assert filled.run("entity_stats_daily_cleanup").state == "success"
    assert filled.run("entity_stats_fold_pending").state == "success"


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
    assert set(ready.run("entity_stats_fold_pending").tasks.values()) == {"success"}
    assert database.value("select pending from entity_stats.status()") == 0
    assert database.oracle() == []
