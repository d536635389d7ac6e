"""The DAG files: they import, in a DAGs folder and in a Git bundle, and the SQL that they name exists."""

from __future__ import annotations

import ast
import re
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from entity_stats.operators import SqlOperator
from entity_stats.parts import span
from entity_stats.sql import Check, checks, deployment, read_check
from tests.fixtures.database import ROOT

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


def test_dags_share_no_param(bag: DagBag) -> None:
    """A run in this process writes its value into the param, where another DAG's run would find it as its default."""
    params = [dag.params.get_param(name) for dag in bag.dags.values() for name in dag.params]
    assert len({id(param) for param in params}) == len(params)


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


#: A string that is SQL, and the SQL that a DAG file may have: a call of one routine of ours.
STATEMENT = re.compile(r"\s*(select|insert|update|delete|with|call|merge|create|alter|drop|truncate)\s", re.IGNORECASE)
WIRING = re.compile(
    r"(call|select|select \* from) entity_stats\.\w+\(((?!\b(select|from|where|join)\b|;).)*\)", re.DOTALL
)


def logic(source: str) -> list[str]:
    """The SQL in the strings of a DAG file, wherever they stand, that is more than wiring."""
    tree = ast.parse(source)
    pieces = {id(piece) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for piece in node.values}
    texts = [
        "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        if isinstance(node, ast.JoinedStr)
        else str(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in pieces
    ]
    return [text for text in texts if STATEMENT.match(text) and not WIRING.fullmatch(text)]


@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_they_are_wiring_only(file: Path) -> None:
    source = file.read_text()
    assert len(source.splitlines()) <= 120
    assert logic(source) == []


@pytest.mark.parametrize(
    "sql",
    [
        '"select 1"',
        '"delete from public.killmails"',
        '"""\n    select *\n    from public.killmails\n"""',
        '"call entity_stats.fold_pending(); delete from public.killmails"',
        '"select entity_stats.recalculate(k.id)" " from public.killmails as k"',
        'f"select * from entity_stats.status({1}) where {2}"',
    ],
)
def test_sql_in_a_dag_file_is_found(sql: str) -> None:
    assert len(logic(f"SqlOperator(task_id='x', sql={sql})")) == 1
    assert len(logic(f"text = {sql}\nSqlOperator(task_id='x', sql=text)")) == 1


def test_the_dag_does_what_psql_does(bag: DagBag) -> None:
    """Of the deployment script: the transaction, then what comes after it, but for what it prints."""
    assert deployment().startswith("begin;")
    assert deployment().endswith("commit;")
    after = (ROOT / "sql" / "deploy.sql").read_text().rpartition("\ncommit;\n")[2]
    done = [line for line in after.splitlines() if line and not line.startswith(("\\", "select d.*"))]
    guard = bag.dags["entity_stats_backfill"].task_dict["guard"]
    assert isinstance(guard, SqlOperator)
    assert done == [f"{guard.sql};"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("begin;\n\\set x 1\ncommit;\n", r"only psql understands \\set x 1"),
        ("begin;\nselect 1;\n", "no transaction"),
    ],
    ids=["psql's own", "no commit"],
)
def test_a_deployment_that_only_psql_understands_is_refused(tmp_path: Path, script: str, message: str) -> None:
    file = tmp_path / "deploy.sql"
    file.write_text(script)
    with pytest.raises(ValueError, match=message):
        deployment(file)


def test_a_check_is_a_view_and_its_comment(tmp_path: Path) -> None:
    view = "create view entity_stats.all_is_well as\nselect 1 as one where false;"
    file = tmp_path / "all_is_well.sql"
    file.write_text(
        f"{view}\n\ncomment on view entity_stats.all_is_well is\n'warn: All''s well.\n\nOtherwise: mend it.';\n"
    )
    expected = Check("all_is_well", "warn", "All's well.\n\nOtherwise: mend it.", view)
    assert read_check(file) == expected
    assert (checks("warn", tmp_path), checks("fail", tmp_path)) == ([expected], [])
    file.write_text(view)
    with pytest.raises(ValueError, match=r"all_is_well.sql does not end with: comment on view"):
        read_check(file)


def test_what_a_claim_advises_stands_alone() -> None:
    """An alert quotes one claim."""
    claims = {check.claim: check for severity in ("fail", "warn", "full") for check in checks(severity)}
    for check in claims.values():
        assert "as for" not in check.text, check.claim
        assert check.text.partition("What to do: ")[2], check.claim
