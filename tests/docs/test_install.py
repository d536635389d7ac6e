"""A stranger follows the installation page: its own commands, in a fresh Airflow home, with a fresh clone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_docs import INSTALL, README, blocks, section
from tests.fixtures.database import ROOT, Database
from tests.fixtures.worlds import Worlds

#: The ways to have the DAGs, in the page's order.
MODES = ("folder", "Git bundle")

DAGS = sorted(file.stem for file in ROOT.glob("dags/entity_stats_*.py"))

#: What the page's commands say about the site, as it is here.
CLONE, URL = "/srv/entity-stats-cache", "https://git.example/entity-stats-cache.git"

#: Stands for `airflow` in the page's commands: they are run in the end, by one process, because each takes seconds to start.
LATER = 'airflow() { printf "%s\\n" "$*" >> "$AIRFLOW_HOME/commands"; }'

#: Runs them; prints what each has printed, and what there is then.
PROBE = """
import contextlib, io, json, pathlib, shlex, sys
from airflow.utils.db import initdb

initdb()
from airflow.__main__ import main

said = {}
for command in pathlib.Path(sys.argv[1]).read_text().splitlines():
    sys.argv = ["airflow", *shlex.split(command)]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main()
    said[command] = out.getvalue()

from airflow.models import DagModel, DagRun
from airflow.plugins_manager import get_fastapi_plugins
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.utils.session import create_session

[app] = get_fastapi_plugins()[0]
import entity_stats_page.report as report

with create_session() as session:
    runs = [[run.dag_id, str(run.state)] for run in session.query(DagRun)]
    paused = [dag.dag_id for dag in session.query(DagModel) if dag.is_paused]
[database] = PostgresHook("entity_stats_db").get_first("select current_database()")
found = {"said": said, "runs": runs, "paused": paused, "page": app["url_prefix"], "code": report.__file__}
print(json.dumps(found | {"database": database}))
"""


@dataclass(frozen=True)
class Installed:
    """What the page's commands have left.

    Attributes:
        mode: folder or Git bundle.
        clone: the clone that they made.
        said: command of Airflow to what it printed.
        runs: DAG and state of each run.
        paused: DAGs that the scheduler would not run.
        page: where the plugin's page is.
        code: the file with what the page reads.
        database: to which the connection leads.
    """

    mode: str
    clone: Path
    said: dict[str, str]
    runs: list[list[str]]
    paused: list[str]
    page: str
    code: Path
    database: str

    def table(self, command: str) -> list[dict[str, Any]]:
        """What a command has printed as JSON."""
        return list(json.loads(self.said[command]))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This clone as a repository with one commit, changes that are not committed yet included."""
    folder = tmp_path_factory.mktemp("repository") / "entity-stats-cache.git"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache"))
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*identity, "commit", "-qm", "test"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def killboard(worlds: Worlds) -> Iterator[Database]:
    """Killmails and nothing of ours."""
    with worlds.source() as database:
        yield database


@pytest.fixture(scope="module", params=MODES)
def installed(
    request: pytest.FixtureRequest, repository: Path, killboard: Database, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """An Airflow as the page makes it, in either mode."""
    folder = tmp_path_factory.mktemp("site")
    home, clone = folder / "airflow", folder / "clone"
    (home / "plugins").mkdir(parents=True)
    (home / "dags").mkdir()

    def here(text: str) -> str:
        for name, value in {
            URL: repository,
            CLONE: clone,
            "db.example": killboard.server.host,
            "5432": killboard.server.port,
            "killboard_owner": killboard.server.user,
            '"..."': json.dumps(killboard.server.password),
            '"killboard"': json.dumps(killboard.name),
        }.items():
            text = text.replace(name, str(value))
        return text

    page = section("On an existing Airflow")
    get, connection, link, look, start = map(here, blocks(page, "bash"))
    mode = str(request.param)
    settings = dict(zip(MODES, map(here, blocks(page, "ini")), strict=True))[mode]
    # What the page prints for a person is asked for as JSON.
    look = re.sub(r"^(airflow (?:dags list\S*|plugins))", r"\1 --output json", look, flags=re.MULTILINE)

    (home / "airflow.cfg").write_text(settings)
    script = "\n".join([LATER, get, connection, "" if mode == "folder" else link, look, start])
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),  # else the machine's, under this name
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        # What is required is here already; nothing is installed, or looked for elsewhere.
        "PIP_DRY_RUN": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    script += f'\nexec python -c "$PROBE" "{home}/commands"'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment | {"PROBE": PROBE},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return Installed(mode=mode, clone=clone, **found | {"code": Path(found["code"])})


def test_airflow_has_the_five_dags(installed: Installed) -> None:
    dags = installed.table("dags list --output json")
    assert [dag["dag_id"] for dag in dags] == DAGS
    assert installed.table("dags list-import-errors --output json") == []
    if installed.mode == "folder":
        assert {Path(dag["fileloc"]).parent for dag in dags} == {installed.clone / "dags"}
    else:
        assert {dag["bundle_name"] for dag in dags} == {"entity_stats"}
        assert all(re.fullmatch(r"[0-9a-f]{40}", dag["bundle_version"]) for dag in dags)


def test_airflow_has_the_page(installed: Installed) -> None:
    [plugin] = installed.table("plugins --output json")
    assert plugin["name"] == "entity_stats"
    assert installed.page == "/entity-stats"
    assert installed.code.resolve().is_relative_to(installed.clone.resolve())


def test_the_backfill_waits_for_a_scheduler(installed: Installed, killboard: Database) -> None:
    assert installed.runs == [["entity_stats_backfill", "queued"]]
    assert installed.paused == []
    assert installed.database == killboard.name


def test_the_readme_begins_as_the_page_does() -> None:
    """Its commands are the page's, and the role that connects has one name everywhere."""
    [*_, start] = blocks(section("On an existing Airflow"), "bash")
    assert start in README
    example = (ROOT / "airflow.cfg.example").read_text()
    roles = re.findall(r'"login": "(\w+)"|postgresql://(\w+):', INSTALL + README + example)
    assert len(roles) == 3
    assert {name or other for name, other in roles} == {"killboard_owner"}


def test_every_direct_dependency_is_pinned_in_one_place() -> None:
    """By name in the requirements; constraints.txt alone has versions, of each of them."""
    lines = {
        file: [line for line in (ROOT / file).read_text().splitlines() if line[:1].isalnum()]
        for file in ("dags/requirements.txt", "requirements.txt", "tests/executors/requirements.txt", "constraints.txt")
    }
    pinned = {line.partition("==")[0].lower() for line in lines.pop("constraints.txt")}
    direct = [line for file in lines.values() for line in file]
    assert {re.split(r"[\[<]", line)[0].lower() for line in direct} <= pinned
    assert len(direct) == len(set(direct)), "each is named once"
    assert not [line for line in direct if "==" in line]


def test_an_install_of_the_project_is_one_of_a_site_and_more() -> None:
    assert "--requirement dags/requirements.txt" in (ROOT / "requirements.txt").read_text().splitlines()
