"""Operators: one SQL call, the deployment, the look at whether the cache is ready."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from entity_stats.defaults import CONNECTION
from entity_stats.errors import DatabaseUnreachable, ParamsRefused, record, table
from entity_stats.hook import KillboardHook, dictionaries
from entity_stats.sql import deployment

#: How far ahead of this machine's clock an `as_of` may lie; the database judges by its own.
CLOCK_SKEW = timedelta(minutes=5)

#: SQLSTATE of procedures that the cache's status does not allow now.
NOT_READY = "55000"

#: SQLSTATE of calls to a database where nothing is deployed: there is no such schema.
NOT_DEPLOYED = "3F000"

#: Beginnings of SQLSTATEs of a server that cannot be talked to. A connection that fails has no SQLSTATE.
UNREACHABLE = ("08", "57P")

#: Beginnings of SQLSTATEs that a later try may not meet: deadlocks, resources, input and output, locks.
#: Airflow's ExceptionRetryPolicy goes by classes; here the SQLSTATE decides about the message and about skipping, too.
PASSING = ("40", "53", "58", "55P03")


def refuse_params(known: Collection[str], params: Mapping[str, Any]) -> None:
    """See that a run's params can be meant; Airflow's own validation lets these pass.

    Args:
        known: Names of the DAG's params.
        params: Of the run, with their defaults; Airflow adds whatever else the run was triggered with.

    Raises:
        ParamsRefused: A key that is no param, an `as_of` that is no date or lies in the future.
    """
    if unknown := sorted(set(params) - set(known)):
        raise ParamsRefused(f"There is no param {', '.join(unknown)}: this DAG has {', '.join(known) or 'none'}.")
    if not (as_of := params.get("as_of")):
        return
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError as error:
        raise ParamsRefused(f"as_of is {as_of}, which is not a date: {error}.") from error
    if moment.replace(tzinfo=moment.tzinfo or UTC) > datetime.now(UTC) + CLOCK_SKEW:
        raise ParamsRefused(f"as_of is {as_of}, which lies in the future.")


def scalar(cursor: psycopg.Cursor[Any]) -> Any:
    """The first column of the first row."""
    row = cursor.fetchone()
    return row[0] if row else None


def corrections(cursor: psycopg.Cursor[Any]) -> str:
    """What a recalculation has changed, cell by cell."""
    cells = dictionaries(cursor)
    shown = [{name: value for name, value in cell.items() if name != "correctedAt"} for cell in cells]
    return f"{len(cells):,} cells changed" + (f":\n{table(shown)}" if cells else "")


def explain(error: psycopg.Error) -> str:
    """What the server says, with its detail and its hint on what to do."""
    said = error.diag
    lines = [said.message_primary or str(error), said.message_detail, said.message_hint]
    return "\n".join(line.strip() for line in lines if line)


class KillboardOperator:
    """What operators with sessions on the killboard's database have in common.

    RAISE lines appear in the task log as they arrive; a task that is killed cancels its query; errors that a
    retry cannot help fail at once.
    """

    #: Airflow connection.
    conn_id: str | None = CONNECTION
    #: SQLSTATEs that end the task skipped instead of failed.
    skip_on: tuple[str, ...] = ()
    killed = False
    _session: KillboardHook | None = None
    log: Any

    def on_kill(self) -> None:
        """Cancel the query when the task is marked as failed, cleared, or out of time."""
        session = self._session.conn if self._session else None
        if isinstance(session, psycopg.Connection) and not session.closed:
            self.killed = True
            session.cancel_safe(timeout=3)
            self.log.warning("The task is being ended: its query has been cancelled")

    @contextmanager
    def session(self, context: Context) -> Iterator[KillboardHook]:
        """A hook whose sessions bear the name of the task; database errors become Airflow's."""
        refuse_params(context["dag"].params, context["params"])
        ti = context["ti"]
        mapped = f"[{ti.map_index}]" if (ti.map_index or 0) > -1 else ""
        self._session = hook = KillboardHook(str(self.conn_id), f"{ti.dag_id}/{ti.task_id}{mapped}/{ti.run_id}")
        try:
            yield hook
        except psycopg.Error as error:
            message = explain(error)
            if error.sqlstate in self.skip_on:
                raise AirflowSkipException(message) from error
            lost = error.sqlstate is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
            if lost or str(error.sqlstate).startswith(UNREACHABLE):
                raise DatabaseUnreachable(message) from error
            if self.killed or str(error.sqlstate).startswith(PASSING):
                raise AirflowException(message) from error
            raise AirflowFailException(message) from error


class SqlOperator(KillboardOperator, SQLExecuteQueryOperator):
    """Runs one statement with autocommit, as procedures that commit need it.

    Returns what `handler` makes of the cursor, else the RAISE lines.

    Args:
        sql: One statement, with `%(name)s` placeholders.
        parameters: Their values (templated).
        handler: Makes the task's result of the cursor, e.g. `scalar`.
        skip_on: SQLSTATEs that end the task skipped instead of failed.
    """

    template_fields: Sequence[str] = ("sql", "parameters")
    template_ext: Sequence[str] = ()

    def __init__(
        self,
        *,
        sql: str | list[str] = "",
        parameters: Mapping[str, Any] | None = None,
        handler: Callable[[Any], Any] | None = None,
        skip_on: Sequence[str] = (),
        conn_id: str = CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(sql=sql, parameters=parameters, autocommit=True, conn_id=conn_id, **kwargs)
        self.result = handler
        self.skip_on = tuple(skip_on)

    def execute(self, context: Context) -> Any:
        """Run the statement."""
        with self.session(context) as hook:
            self.log.info("%s %s", self.sql, dict(self.parameters or {}))
            result = hook.run(self.sql, autocommit=True, parameters=self.parameters, handler=self.result)
        if self.result is None:
            return "\n".join(hook.notices)
        self.log.info("%s", result)
        return result


class DeployOperator(SqlOperator):
    """Runs the transaction of this checkout's sql/deploy.sql; unchanged, it changes and locks nothing."""

    def execute(self, context: Context) -> None:
        """Deploy."""
        with self.session(context) as hook:
            hook.run(deployment(), autocommit=True)


class ReadyOperator(SqlOperator):
    """Ends skipped, and with it what follows, unless the cache is ready."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(sql="select * from entity_stats.status()", skip_on=[NOT_DEPLOYED], **kwargs)

    def execute(self, context: Context) -> None:
        """Look at the status."""
        with self.session(context) as hook:
            [status] = hook.rows(str(self.sql))
        self.log.info("The cache:\n%s", record(status))
        if status["status"] != "ready":
            why = f" ({status['reason']})" if status["reason"] else ""
            raise AirflowSkipException(f"The cache is {status['status']}{why}: entity_stats_backfill fills it")
