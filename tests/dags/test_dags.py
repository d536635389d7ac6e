"""The DAG files: they import, in a DAGs folder and in a Git bundle, and the SQL that they name exists."""

from __future__ import annotations

import ast
import re
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from entity_stats.parts import span
from entity_stats.sql import CHECKS, SQL, Check, checks, deploy_statements, read_check
from tests.database import ROOT

DAG_FILES = sorted((ROOT / "dags").glob("*.py"))


@pytest.fixture(scope="module")
def bag() -> DagBag:
    """The DAGs of the folder."""
    return DagBag(ROOT / "dags")


def test_they_import(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert sorted(bag.dags) == [file.stem for file in DAG_FILES]


def test_they_are_documented(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert dag.doc_md, dag.dag_id
        assert dag.description, dag.dag_id
        assert "entity_stats" in dag.tags, dag.dag_id
        assert "When a task fails" in dag.doc_md, dag.dag_id
        for group in dag.task_group.get_task_group_dict().values():
            assert group.doc_md or group.is_root, f"{dag.dag_id}: {group.group_id}"
        for task in dag.tasks:
            assert task.owner == "entity_stats", f"{dag.dag_id}: {task.task_id}"
            assert task.execution_timeout, f"{dag.dag_id}: {task.task_id}"


def test_schedules_are_triggers(bag: DagBag) -> None:
    """Not cron expressions, which installations may read as intervals: then a nightly run bears yesterday's date."""
    scheduled = {dag.dag_id: dag.timetable for dag in bag.dags.values() if dag.timetable.can_be_scheduled}
    assert sorted(scheduled) == ["entity_stats_daily_cleanup", "entity_stats_fold_pending", "entity_stats_verify"]
    assert {type(timetable).__name__ for timetable in scheduled.values()} == {"CronTriggerTimetable"}


def test_long_runs_have_a_deadline(bag: DagBag) -> None:
    assert sorted(dag.dag_id for dag in bag.dags.values() if dag.deadline) == [
        "entity_stats_backfill",
        "entity_stats_daily_cleanup",
        "entity_stats_verify",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(1, "1 s"), (7200, "2 h"), (86_400, "24 h"), (5400, "1 h 30 min"), (3661, "1 h 1 min 1 s")]
)
def test_durations_are_told_in_words(seconds: int, shown: str) -> None:
    assert span(timedelta(seconds=seconds)) == shown


def test_they_are_wiring_only() -> None:
    for file in DAG_FILES:
        lines = file.read_text().splitlines()
        assert len(lines) <= 120, f"{file.name} has {len(lines)} lines"
        written = [
            ast.unparse(keyword.value).lstrip("f").strip("'\"").strip()
            for call in ast.walk(ast.parse(file.read_text()))
            if isinstance(call, ast.Call)
            for keyword in call.keywords
            if keyword.arg == "sql" and isinstance(keyword.value, ast.Constant | ast.JoinedStr)
        ]
        for text in written:
            assert re.match(r"(call|select|select \* from) entity_stats\.\w+\(", text), f"{file.name}: {text}"


def test_the_deployment_names_files_that_exist() -> None:
    first, *rest = deploy_statements()
    assert first.startswith("begin;")
    assert first.endswith("commit;")
    assert rest == ["call entity_stats.look_at_source(adopt => true);"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("begin;\n\\set x 1\ncommit;\n", "does not know psql's \\\\set"),
        ("begin;\nselect 1;\n", "no commit;"),
        ("select\n1;\n", "takes one line: select"),
    ],
    ids=["psql's own", "no commit", "two lines"],
)
def test_a_deployment_that_only_psql_understands_is_refused(tmp_path: Path, script: str, message: str) -> None:
    file = tmp_path / "deploy.sql"
    file.write_text(script)
    with pytest.raises(ValueError, match=message):
        deploy_statements(file)


def test_a_check_is_its_comment_and_its_query(tmp_path: Path) -> None:
    folder = tmp_path / "warn"
    folder.mkdir()
    file = folder / "all_is_well.sql"
    file.write_text("-- All is well.\n-- Otherwise: mend it.\nselect 1\nwhere false;\n")
    assert read_check(file) == Check(
        "all_is_well", "warn", "All is well.\nOtherwise: mend it.", "select 1\nwhere false"
    )


def test_what_a_claim_advises_stands_alone() -> None:
    """An alert quotes one claim."""
    claims = {check.claim: check for severity in ("fail", "warn", "full") for check in checks(severity)}
    for check in claims.values():
        assert "as for" not in check.text, check.claim
        assert check.text.partition("What to do: ")[2], check.claim


def test_folders_of_checks_are_known() -> None:
    assert CHECKS.is_relative_to(SQL)
    assert {folder.name for folder in CHECKS.glob("*")} <= {"fail", "warn", "full"}
