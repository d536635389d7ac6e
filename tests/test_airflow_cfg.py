"""airflow.cfg.example works once its placeholders are filled, in folder mode and in Git bundle mode."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.database import ROOT

EXAMPLE = (ROOT / "airflow.cfg.example").read_text()

#: Run by a process of its own, because Airflow reads its configuration once, when it is imported.
PROBE = """
import configparser, json, sys
from airflow.configuration import conf
from airflow.dag_processing.bundles.manager import DagBundlesManager

given = configparser.ConfigParser(interpolation=None)
given.read(sys.argv[1])
known = conf.configuration_description
options = [(section, option) for section in given.sections() for option in given.options(section)]
manager = DagBundlesManager()
print(json.dumps({
    "unknown": [o for o in options if o[1] not in known.get(o[0], {"options": {}})["options"]],
    "different": [o for o in options if conf.get(*o).strip() != given.get(*o).strip()],
    "bundles": [[type(b).__name__, b.name, str(getattr(b, "subdir", "")), str(getattr(b, "repo_url", ""))]
                for b in manager.get_all_dag_bundles()],
    "timezone": conf.get("core", "default_timezone"),
}))
"""


def probe(text: str, folder: Path) -> dict[str, Any]:
    """What Airflow makes of the example with its placeholders filled.

    Args:
        text: the example.
        folder: takes the place of <STATE>.
    """
    for name, value in {
        "<CHECKOUT>": str(ROOT),
        "<STATE>": str(folder),
        "<REPOSITORY>": str(ROOT),
        "<SECRET-1>": "one",
        "<SECRET-2>": "two",
        "<FERNET-KEY>": "Zm9ydHktZm91ci1jaGFyYWN0ZXJzLW9mLWEta2V5ISE=",
    }.items():
        text = text.replace(name, value)
    settings = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert not re.search(r"<[A-Z-]+\d?>", settings)
    config = folder / "airflow.cfg"
    config.write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {"AIRFLOW_HOME": str(folder), "AIRFLOW_CONFIG": str(config), "PYTHONPATH": ""}
    result = subprocess.run(
        [sys.executable, "-c", PROBE, config], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def folder_mode(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The example as it is."""
    return probe(EXAMPLE, tmp_path_factory.mktemp("airflow"))


def test_every_option_exists_and_is_taken(folder_mode: dict[str, Any]) -> None:
    assert folder_mode["unknown"] == []
    assert folder_mode["different"] == []
    assert folder_mode["timezone"] == "utc"


def test_folder_mode(folder_mode: dict[str, Any]) -> None:
    assert [bundle[:2] for bundle in folder_mode["bundles"]] == [["LocalDagBundle", "entity_stats"]]


def test_git_bundle_mode(tmp_path: Path) -> None:
    folder, git = re.split(r"\n\n# Git bundle mode.*\n.*\n", EXAMPLE)
    before = folder[: folder.rindex("dag_bundle_config_list")]
    lines = git.split("\n\n")[0]
    rest = git[len(lines) :]
    commands = re.sub(r"^# ", "", lines, flags=re.MULTILINE)
    assert probe(before + commands + rest, tmp_path)["bundles"] == [["GitDagBundle", "entity_stats", "dags", str(ROOT)]]
