"""A running Airflow with this clone's DAGs and plugins, and a real Chromium that looks at it.

`make test-ui` runs these tests; `make test` leaves them out, because they need a browser and a minute to start.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Response,
    expect,
    sync_playwright,
)

from local.airflow_api import AirflowError
from local.airflow_server import AirflowServer
from local.server import free_port
from tests.fixtures.database import Database

CONNECTION = "entity_stats_db"

#: Seconds to start; long, because only a failure takes so long.
TIMEOUT = 240

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def await_(ready: Callable[[], bool], what: str) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + TIMEOUT
    while not ready():
        assert time.monotonic() < deadline, f"{what} not within {TIMEOUT} s"
        time.sleep(0.3)


expect.set_options(timeout=1000 * TIMEOUT / 2)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program: Debian's, or what CHROMIUM names."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM to another browser's program")
    return found


@pytest.fixture(scope="session")
def airflow(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowServer]:
    """Airflow, where everyone is an administrator."""
    server = AirflowServer(tmp_path_factory.mktemp("airflow") / "home")
    server.migrate()
    server.start()
    try:

        def found() -> bool:
            server.check()
            try:
                return server.healthy() and "entity_stats_backfill" in server.api.dags()
            except AirflowError:
                return False

        await_(found, "Airflow healthy")
        server.api.post("/api/v2/connections", {"connection_id": CONNECTION, "conn_type": "postgres"})
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def guarded(airflow: AirflowServer) -> Iterator[str]:
    """The URL of a second API server of the same Airflow, which wants a login: eve, a viewer, with the password `sees`."""
    port = free_port()
    passwords = airflow.home / "passwords.json"
    passwords.write_text(json.dumps({"eve": "sees"}))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(airflow.home),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "eve:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://localhost:{port}",
    }
    with (airflow.home / "guarded.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", "api-server", "--workers", "1"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=airflow.home,
        )
    url = f"http://localhost:{port}"
    try:

        def answers() -> bool:
            assert process.poll() is None, (airflow.home / "guarded.log").read_text()[-2000:]
            return status(f"{url}/api/v2/version") == 200

        await_(answers, "the API server with login")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def status(url: str, token: str = "") -> int:
    """The HTTP status of a GET; 0 when nobody answers."""
    request = Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310
    try:
        with urlopen(request, timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return 0


@pytest.fixture
def point(airflow: AirflowServer) -> Callable[..., None]:
    """Points Airflow's connection at a database, as an administrator does in the UI."""

    def point(database: Database, **changes: Any) -> None:
        where = {
            "connection_id": CONNECTION,
            "conn_type": "postgres",
            "host": database.server.host,
            "port": database.server.port,
            "login": database.server.user,
            "password": database.server.password,
            "schema": database.name,
        }
        airflow.api.patch(f"/api/v2/connections/{CONNECTION}", where | changes)

    return point


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Drives the browser."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """The browser."""
    browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(1000 * TIMEOUT / 2)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab; what its console says about errors, and answers that are errors, fail the test."""
    complaints: list[str] = []

    def console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def response(answer: Response) -> None:
        if answer.status >= 400:
            complaints.append(f"{answer.status} {answer.url}")

    page = context.new_page()
    page.on("console", console)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", response)
    yield page
    assert complaints == []
