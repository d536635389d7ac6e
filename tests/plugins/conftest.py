"""A configuration for Airflow, which the page imports its permissions from."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A configuration of its own, unless tests of the DAGs have imported Airflow before."""
    if "airflow" not in sys.modules:
        home = Path(tmp_path_factory.mktemp("airflow"))
        os.environ["AIRFLOW_HOME"] = str(home)
        os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{home}/airflow.db"
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
