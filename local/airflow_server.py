"""An Airflow of our own: API server with the UI, scheduler, DAG processor and triggerer, all in one folder."""

from __future__ import annotations

import base64
import configparser
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from local import CLONE
from local.airflow_api import AirflowApi, AirflowError
from local.processes import Processes
from local.server import free_port

#: The processes, each with the arguments of its `airflow` command. Task logs are read from the folder, so nothing has
#: to serve them.
COMPONENTS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}


class AirflowServer:
    """Airflow with SQLite metadata and LocalExecutor, listening on 127.0.0.1, where everyone is an administrator.

    DAGs and plugins are those of this clone. The processes outlive the one that started them: another one stops
    them with `AirflowServer(home).stop()`.

    Args:
        home: AIRFLOW_HOME; made by `migrate`.
        port: of the UI and the API; default: the one in `home`, else a free one.
        connections: Airflow connections, id to URI.
    """

    host = "127.0.0.1"

    def __init__(self, home: Path, *, port: int | None = None, connections: Mapping[str, str] | None = None) -> None:
        self.home = home
        self._config = home / "airflow.cfg"
        self._processes = Processes(home)
        self.port = port or self._configured_port() or free_port()
        self._connections = dict(connections or {})

    @property
    def url(self) -> str:
        """Where the UI is."""
        return f"http://localhost:{self.port}"

    @property
    def api(self) -> AirflowApi:
        """The REST API."""
        return AirflowApi(f"http://{self.host}:{self.port}")

    def migrate(self) -> None:
        """Write airflow.cfg and make the metadata database.

        Raises:
            AirflowError: it does not work; the message ends with what Airflow says.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._configure()
        result = subprocess.run(
            self._command("db", "migrate"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            env=self._environment(),
        )
        if result.returncode != 0:
            said = (result.stdout + result.stderr).strip().splitlines()[-20:]
            raise AirflowError("\n".join(["airflow db migrate failed:", *said]))

    def start(self) -> Self:
        """Start the processes; they need some seconds until `healthy`."""
        for name, arguments in COMPONENTS.items():
            self._processes.start(name, self._command(*arguments), self._environment())
        return self

    def running(self) -> bool:
        """Whether all processes are there, whoever started them."""
        return self._processes.started() == COMPONENTS.keys() and not self._processes.ended()

    def check(self) -> None:
        """See that no process has ended by itself.

        Raises:
            AirflowError: one has; the message ends with the end of its log.
        """
        for name in self._processes.ended():
            taken = f" (is port {self.port} taken by somebody else?)" if name == "api-server" else ""
            raise AirflowError(f"airflow {name} has ended{taken}:\n{self._processes.end_of_log(name)}")

    def healthy(self) -> bool:
        """Whether the API server, the scheduler and the DAG processor say that they are well."""
        try:
            health = self.api.get("/api/v2/monitor/health")
        except AirflowError:
            return False
        return all(health[name]["status"] == "healthy" for name in ("metadatabase", "scheduler", "dag_processor"))

    def stop(self) -> None:
        """Stop all processes and what they have started; those that do not end in time are killed."""
        self._processes.stop()

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "airflow", *arguments]

    def _environment(self) -> dict[str, str]:
        # What the caller's environment says about an Airflow is about another one; a proxy is not for us.
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(self.home),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **{f"AIRFLOW_CONN_{name.upper()}": uri for name, uri in self._connections.items()},
        }

    def _configured_port(self) -> int | None:
        config = configparser.RawConfigParser()
        config.read(self._config)
        return config.getint("api", "port", fallback=None)

    def _configure(self) -> None:
        """Write airflow.cfg: what differs from Airflow's defaults, most of it to be quick on a small machine."""
        config = configparser.RawConfigParser()
        config.read_dict(
            {
                "core": {
                    "dags_folder": str(CLONE / "dags"),
                    "plugins_folder": str(CLONE / "plugins"),
                    "load_examples": "False",
                    "executor": "LocalExecutor",
                    "parallelism": "4",
                    "simple_auth_manager_all_admins": "True",
                    "execution_api_server_url": f"http://{self.host}:{self.port}/execution/",
                    "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                    "hostname_callable": "socket.gethostname",
                },
                "database": {"sql_alchemy_conn": f"sqlite:///{self.home}/airflow.db"},
                "api": {
                    "host": self.host,
                    "port": str(self.port),
                    "base_url": self.url,
                    "secret_key": secrets.token_hex(16),
                },
                "api_auth": {"jwt_secret": secrets.token_hex(32)},
                "scheduler": {"scheduler_idle_sleep_time": "0.3"},
                "dag_processor": {"refresh_interval": "10", "min_file_process_interval": "10"},
                "logging": {"base_log_folder": str(self.home / "logs"), "colored_console_log": "False"},
            }
        )
        self._config.touch(mode=0o600)
        with self._config.open("w") as file:
            config.write(file)
