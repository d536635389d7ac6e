"""Operators: one SQL call, the deployment, the gate, a check, a second look at what failed, the summary."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from tabulate import tabulate  # type: ignore[import-untyped]

from entity_stats.defaults import CONNECTION
from entity_stats.errors import ClaimsBroken, DatabaseUnreachable, Offence, table
from entity_stats.hook import KillboardHook, dictionaries
from entity_stats.sql import Check, deploy_statements

#: SQLSTATE of procedures that the cache's status does not allow now.
NOT_READY = "55000"

#: SQLSTATE of calls to a database where nothing is deployed: there is no such schema.
NOT_DEPLOYED = "3F000"

#: Beginnings of SQLSTATEs of a server that cannot be talked to. A connection that fails has no SQLSTATE.
UNREACHABLE = ("08", "57P")

#: Beginnings of SQLSTATEs that a later try may not meet: deadlocks, resources, input and output, locks.
PASSING = ("40", "53", "58", "55P03")


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


class SqlOperator(SQLExecuteQueryOperator):
    """Runs one statement with autocommit, as procedures that commit need it.

    RAISE lines appear in the task log as they arrive; a task that is killed cancels its query; errors that a
    retry cannot help fail at once. Returns what `handler` makes of the cursor, else the RAISE lines.

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
        self.killed = False
        self._session: KillboardHook | None = None

    def execute(self, context: Context) -> Any:
        """Run the statement."""
        with self.session(context) as hook:
            self.log.info("%s %s", self.sql, dict(self.parameters or {}))
            result = hook.run(self.sql, autocommit=True, parameters=self.parameters, handler=self.result)
        if self.result is None:
            return "\n".join(hook.notices)
        self.log.info("%s", result)
        return result

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


class DeployOperator(SqlOperator):
    """Runs sql/deploy.sql of the checkout that this DAG is in; unchanged, it changes and locks nothing."""

    def execute(self, context: Context) -> None:
        """Deploy: one transaction, then the statements after it."""
        with self.session(context) as hook:
            hook.run(deploy_statements(), autocommit=True)


class GateOperator(SqlOperator):
    """Ends skipped, and with it what follows, unless the cache is ready."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(sql="select * from entity_stats.status()", skip_on=[NOT_DEPLOYED], **kwargs)

    def execute(self, context: Context) -> None:
        """Look at the status."""
        with self.session(context) as hook:
            [status] = hook.rows(str(self.sql))
        self.log.info("The cache:\n%s", tabulate(status.items(), tablefmt="plain"))
        if status["status"] != "ready":
            why = f" ({status['reason']})" if status["reason"] else ""
            raise AirflowSkipException(f"The cache is {status['status']}{why}: entity_stats_backfill fills it")


class CheckOperator(SqlOperator):
    """Runs one check, shows and keeps the rows that offend its claim.

    Rows end the task failed, or, of a check of severity warn, skipped: visible in the grid, without alert.

    Args:
        check: The check.
        run: Number in entity_stats.run under which the result is kept (templated).
    """

    template_fields: Sequence[str] = ("run",)

    def __init__(self, *, check: Check, run: str, **kwargs: Any) -> None:
        super().__init__(task_id=check.claim, doc_md=f"{check.text}\n\n```sql\n{check.query}\n```", **kwargs)
        self.check = check
        self.run = run
        self.claims = [check.claim]

    def execute(self, context: Context) -> None:
        """Run the check."""
        with self.session(context) as hook:
            offence = run_check(hook, self.check, self.run)
        if offence is None:
            self.log.info("The claim holds: %s", self.check.claim)
        elif self.check.severity == "warn":
            self.log.warning("%s", offence)
            raise AirflowSkipException(f"{offence.count:,} rows to look at")
        else:
            raise ClaimsBroken(offence)


class RecheckOperator(SqlOperator):
    """Runs again the checks that have failed in a run, after the repair; fails when a claim still does not hold.

    Args:
        checks: The checks that may have failed.
        run: Number in entity_stats.run (templated).
    """

    template_fields: Sequence[str] = ("run",)

    def __init__(self, *, checks: Sequence[Check], run: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.checks = {check.claim: check for check in checks}
        self.run = run
        self.claims: list[str] = []

    def execute(self, context: Context) -> None:
        """Recheck."""
        broken: list[Offence] = []
        with self.session(context) as hook:
            failed = hook.rows(
                "select distinct claim from entity_stats.check_run"
                " where run = %(run)s and severity <> 'warn' and offending > 0 order by claim",
                {"run": self.run},
            )
            for claim in [row["claim"] for row in failed if row["claim"] in self.checks]:
                if offence := run_check(hook, self.checks[claim], self.run):
                    broken.append(offence)
                else:
                    self.log.info("The claim holds again: %s", claim)
                    self.claims.append(claim)
        if not failed:
            raise AirflowSkipException("No claim has failed: nothing to look at again")
        if broken:
            raise ClaimsBroken(*broken)


class SummaryOperator(SqlOperator):
    """Logs what a run has done, in the manner of the specification's expected output, and closes its history.

    Args:
        title: First line.
        run: Number in entity_stats.run (templated).
        steps: Headings, and the tasks whose results stand under each.
    """

    template_fields: Sequence[str] = ("run",)

    def __init__(self, *, title: str, run: str, steps: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.title = title
        self.run = run
        self.steps = dict(steps)

    def execute(self, context: Context) -> None:
        """Log the summary, close the run."""
        ti, dag_run = context["ti"], context["dag_run"]
        done: dict[str, list[str]] = {}
        for heading, task_ids in self.steps.items():
            found = ti.xcom_pull(task_ids=list(task_ids))
            done[heading] = [line for result in found if result for line in str(result).splitlines()]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        failed = sorted(task for task, state in states.items() if state in ("failed", "upstream_failed"))
        seconds = (datetime.now(UTC) - (dag_run.start_date or datetime.now(UTC))).total_seconds()
        outcome = "failure" if failed else "success"

        with self.session(context) as hook:
            [cache] = hook.rows(
                "select jsonb_build_object("
                "    'character', s.characters, 'corporation', s.corporations, 'alliance', s.alliances) as entities,"
                ' s."sizeBytes" as "cacheBytes", s.total from public.get_stats_cache_summary() as s'
            )
            detail = {
                "run": ti.run_id,
                "seconds": round(seconds, 1),
                "steps": done,
                "failed": failed,
                "entities": cache["entities"],
                "cacheBytes": cache["cacheBytes"],
            }
            parameters = {"run": self.run, "outcome": outcome, "detail": json.dumps(detail)}
            checked = hook.rows(
                "select severity, claim, offending, duration from entity_stats.check_run"
                ' where run = %(run)s order by severity, claim, "checkedAt"',
                parameters,
            )
            [status] = hook.rows("select * from entity_stats.status()")
            hook.run(
                "select entity_stats.finish_run(%(run)s, %(outcome)s, %(detail)s::jsonb)",
                autocommit=True,
                parameters=parameters,
            )

        lines = ["", "=" * 80, self.title, "=" * 80]
        for heading, results in done.items():
            if results:
                lines += ["", heading, *[f"✓ {result}" for result in results]]
        if checked:
            lines += ["", "Checks:", table(checked)]
        if failed:
            lines += ["", "Failed: " + ", ".join(failed)]
        lines += ["", "Cache:", tabulate(status.items(), tablefmt="plain")]
        lines += ["", f"Total time: {int(seconds // 60)}m {int(seconds % 60)}s"]
        lines += [f"Total entities: {cache['total']:,}"]
        for line in lines:
            self.log.info("%s", line)


def run_check(hook: KillboardHook, check: Check, run: str) -> Offence | None:
    """Run a check, which keeps its result; None when the claim holds."""
    [result] = hook.rows(
        "select * from entity_stats.run_check(%(run)s, %(claim)s, %(severity)s, %(query)s)",
        {"run": int(run), "claim": check.claim, "severity": check.severity, "query": check.query},
    )
    return Offence(check, result["offending"], result["sample"]) if result["offending"] else None
