"""Airflow finds the plugin in this clone's folder, and linked into a site's own; tasks that load it load no page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.database import ROOT

PROBE = """
import json, sys
from airflow import plugins_manager

plugins, errors = plugins_manager._get_plugins()
loaded = "entity_stats_page" in sys.modules
ours = [plugin for plugin in plugins if plugin.name == "entity_stats"]
views, _ = plugins_manager._get_ui_plugins()
apps, _ = plugins_manager.get_fastapi_plugins()
import entity_stats_page.report
print(json.dumps({
    "plugins": len(ours),
    "errors": errors,
    "loaded": loaded,
    "views": [[view["destination"], view["href"]] for view in views if view["name"] == "Entity stats cache"],
    "apps": [app["url_prefix"] for app in apps],
}))
"""


@pytest.mark.parametrize("how", ["clone", "linked"])
def test_plugin_is_found(how: str, tmp_path: Path) -> None:
    folder = ROOT / "plugins"
    if how == "linked":
        folder = tmp_path / "plugins"
        folder.mkdir()
        for name in ("entity_stats_plugin.py", "entity_stats_page"):
            (folder / name).symlink_to(ROOT / "plugins" / name)
        (folder / ".airflowignore").write_text("entity_stats_page/\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "plugins": 1,
        "errors": {},
        "loaded": False,
        "views": [
            ["nav", "/entity-stats/"],
            ["dag", "/entity-stats/?dag_id={DAG_ID}"],
            ["dag_run", "/entity-stats/?dag_id={DAG_ID}&run_id={RUN_ID}"],
        ],
        "apps": ["/entity-stats"],
    }
