"""Databases for tests: bare (a killmails table, nothing of ours) and site (deployed), made from templates."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from pytest_postgresql.janitor import DatabaseJanitor

from demo.server import EmbeddedServer

ROOT = Path(__file__).resolve().parents[1]
SQL = ROOT / "sql"
ORACLE = ROOT / "tests" / "oracle.sql"
HISTORY_ORACLE = ROOT / "tests" / "history_oracle.sql"

#: Roles of every server for tests, both LOGIN: the one may only write killmails, the other may do nothing.
WRITER = "killmail_writer"
STRANGER = "stranger"

Parameters = Sequence[Any] | Mapping[str, Any] | None


class Database:
    """One database of a server; what tests do with it.

    `execute`, `fetch` and `value` share one autocommitting superuser session, opened at the first use; a test
    that needs sessions of its own, other roles or transactions takes `connect`.
    """

    def __init__(self, server: EmbeddedServer, name: str) -> None:
        self.server = server
        self.name = name
        self._session: psycopg.Connection[Any] | None = None

    @property
    def conninfo(self) -> str:
        """The superuser's libpq connection string, over the Unix socket."""
        return self.server.conninfo(self.name)

    @property
    def uri(self) -> str:
        """The superuser's postgresql:// URI, over TCP, with its password."""
        return self.server.uri(self.name)

    def connect(self, *, autocommit: bool = True, **parameters: Any) -> psycopg.Connection[Any]:
        """A new session; the caller closes it (`with` does).

        Args:
            autocommit: False opens a transaction at the first statement.
            parameters: libpq parameters, e.g. user=WRITER, options="-c lock_timeout=1s".
        """
        return psycopg.connect(self.server.conninfo(self.name, **parameters), autocommit=autocommit)

    def execute(self, sql: str, params: Parameters = None) -> int:
        """Run SQL (several statements only without params) and return the last statement's row count.

        Raises:
            psycopg.Error: whatever the server says.
        """
        return self._run(sql, params).rowcount

    def fetch(self, sql: str, params: Parameters = None) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        return self._run(sql, params).fetchall()

    def value(self, sql: str, params: Parameters = None) -> Any:
        """Run a query and return the only column of its only row.

        Raises:
            ValueError: another number of rows or columns.
        """
        [[value]] = self.fetch(sql, params)
        return value

    def psql(self, *args: str | Path, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run psql, stopping at the first error; the test judges `returncode`, `stdout` and `stderr`."""
        return self.server.psql(self.name, *args, input=input)

    def load(self, *files: Path) -> None:
        """Run SQL files with psql.

        Raises:
            RuntimeError: a file failed; the message is psql's.
        """
        for file in files:
            result = self.psql("--quiet", "-f", file)
            if result.returncode != 0:
                raise RuntimeError(f"{file.relative_to(ROOT)} failed:\n{result.stderr}")

    def oracle(self, params: Parameters = None) -> list[tuple[Any, ...]]:
        """The cells of the cache that differ from the specification's arithmetic; empty = exact."""
        return self.judged(ORACLE.read_text(), params)

    def history_oracle(self) -> list[tuple[Any, ...]]:
        """The closed days and months that differ from killmails, and sums that differ from all-time; empty = exact."""
        return self.judged(HISTORY_ORACLE.read_text())

    def judged(self, sql: str, params: Parameters = None) -> list[tuple[Any, ...]]:
        """Run a judge's query, which takes seconds to be compiled over many partitions."""
        self.execute("set jit = off")
        try:
            return self.fetch(sql, params)
        finally:
            self.execute("reset jit")

    def close(self) -> None:
        """Close the shared session, e.g. before the server is restarted; the next use opens another."""
        if self._session:
            self._session.close()
            self._session = None

    def _run(self, sql: str, params: Parameters) -> psycopg.Cursor[Any]:
        if self._session is None or self._session.closed:
            self._session = self.connect()
        return self._session.execute(sql, params)


class Databases:
    """Makes databases on one server; each kind is built once, at its first use, and cloned from then on."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self._templates: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._stack = ExitStack()

    @contextmanager
    def bare(self) -> Iterator[Database]:
        """A database with what sql/sample/ defines (killmails, its generator), nothing of ours."""
        with self._database("bare", self._template("bare")) as database:
            yield database

    @contextmanager
    def site(self) -> Iterator[Database]:
        """A bare database with sql/deploy.sql applied."""
        with self._database("site", self._template("site")) as database:
            yield database

    def close(self) -> None:
        """Drop the templates."""
        self._stack.close()

    def _template(self, kind: str) -> str:
        if kind not in self._templates:
            base = self._template("bare") if kind == "site" else None
            database = self._stack.enter_context(self._database(f"template_{kind}", base))
            if kind == "site":
                database.load(SQL / "deploy.sql")
            else:
                self._make_source(database)
            database.close()
            self._templates[kind] = database.name
        return self._templates[kind]

    @staticmethod
    def _make_source(database: Database) -> None:
        killmails = SQL / "sample" / "killmails.sql"
        database.load(killmails, *sorted(set((SQL / "sample").glob("*.sql")) - {killmails}))
        for role in (WRITER, STRANGER):
            if not database.fetch("select from pg_roles where rolname = %s", [role]):
                database.execute(f"create role {role} login")
        rights = "select, insert, update, delete, truncate"
        database.execute(f"grant {rights} on all tables in schema public to {WRITER}")

    @contextmanager
    def _database(self, name: str, template: str | None) -> Iterator[Database]:
        database = Database(self.server, f"{name}_{next(self._numbers)}")
        with DatabaseJanitor(
            user=self.server.user,
            host=str(self.server.socket),
            port=self.server.port,
            dbname=database.name,
            template_dbname=template,
        ):
            try:
                yield database
            finally:
                database.close()
