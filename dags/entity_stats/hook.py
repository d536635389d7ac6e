"""Sessions on the killboard database."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

from airflow.providers.postgres.hooks.postgres import PostgresHook
from psycopg import Connection, Cursor
from psycopg.errors import Diagnostic

from entity_stats.errors import Row

#: RAISE lines that are kept of a session.
KEPT = 50


def dictionaries(cursor: Cursor[Any]) -> list[Row]:
    """The rows of a query, by column name."""
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, values, strict=True)) for values in cursor]


class KillboardHook(PostgresHook):
    """PostgresHook whose sessions bear the task's name, are in UTC, and end soon after a worker that died.

    RAISE lines go to the task log as they arrive; `notices` keeps the last of them, without those that are indented,
    which tell of progress.
    """

    def __init__(self, conn_id: str, application_name: str) -> None:
        super().__init__(postgres_conn_id=conn_id, log_sql=False)
        self.application_name = application_name[:63]
        self.notices: deque[str] = deque(maxlen=KEPT)

    def get_conn(self) -> Any:
        """Open a session."""
        session = super().get_conn()
        assert isinstance(session, Connection), "the DAGs need psycopg 3"
        session.add_notice_handler(self._show)
        session.autocommit = True
        for name, value in (
            ("application_name", self.application_name),
            ("TimeZone", "UTC"),
            ("client_connection_check_interval", "2s"),
        ):
            session.execute("select set_config(%s, %s, false)", [name, value])
        self.log.info("Backend %s is '%s'", session.info.backend_pid, self.application_name)
        return session

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a query with autocommit and return its rows."""
        found = self.run(query, autocommit=True, parameters=parameters, handler=dictionaries)
        return cast("list[Row]", found)

    def _show(self, notice: Diagnostic) -> None:
        if not notice.message_primary:
            return
        if not notice.message_primary.startswith(" "):
            self.notices.append(notice.message_primary)
        level = logging.WARNING if notice.severity_nonlocalized == "WARNING" else logging.INFO
        self.log.log(level, "%s", notice.message_primary)
        for more in (notice.message_detail, notice.message_hint):
            if more:
                self.log.log(level, "  %s", more)
