"""What the page shows, read from the killboard database: read-only, time-limited, each part on its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

#: Airflow connection to the killboard database.
CONNECTION = "entity_stats_db"

#: Seconds to connect, for one query, and for the whole page: what is left then is not read.
CONNECT_TIMEOUT, STATEMENT_TIMEOUT, PAGE_TIMEOUT = 3, 3, 8

#: Parts of the page, each the rows of a function that sql/10_operations/ defines.
PARTS = {
    "status": "select * from entity_stats.status()",
    "windows": "select * from entity_stats.windows()",
    "progress": "select * from entity_stats.progress()",
    "claims": """
        select v.*, c.meaning
        from entity_stats.verification() as v
        left join entity_stats.claims() as c on v.claim = c.claim
        order by v.severity, v.claim
    """,
    "history": "select * from entity_stats.run_history()",
    "backlog": "select * from entity_stats.backlog()",
    "hours": "select * from entity_stats.killmails_per_hour()",
    "repairs": "select * from entity_stats.repairs()",
    "filling": "select * from entity_stats.history_progress()",
}

#: What an id is known as, in all periods.
LOOKUP = "select period, (stats).* from entity_stats.lookup(%(entity)s)"

#: More about each type that it is known as.
OF_EACH_TYPE = {
    "ranks": """
        select t.type, w.period, r.*
        from unnest(%(types)s::text[]) as t (type)
        cross join entity_stats.time_window as w
        cross join lateral public.get_entity_rank(%(entity)s, t.type, w.period) as r
    """,
    "first": """
        select t.type, f.*
        from unnest(%(types)s::text[]) as t (type)
        cross join lateral public.get_entity_first_times(%(entity)s, t.type) as f
    """,
    "months": """
        select h.*
        from unnest(%(types)s::text[]) as t (type)
        cross join lateral public.get_entity_history(
            %(entity)s, t.type, 'month', ((now() at time zone 'UTC') - interval '23 months')::date, zeros => true
        ) as h
    """,
    "years": """
        select h."entityType", date_trunc('year', h.date)::date as date, sum(h.kills) as kills, sum(h.losses) as losses
        from unnest(%(types)s::text[]) as t (type)
        cross join lateral public.get_entity_history(%(entity)s, t.type, 'month') as h
        where isfinite(h.date)
        group by h."entityType", date_trunc('year', h.date)
        order by date
    """,
}

#: What the figures of one type and period are made of, and the killmails, a page of them.
EXPLANATION = {
    "explanation": "select * from public.explain_entity_stats(%(entity)s, %(type)s, %(period)s)",
    "killmails": """
        select *
        from public.get_counted_killmails(
            %(entity)s, %(type)s, %(period)s, %(page_size)s, %(before_time)s::timestamptz, %(before_id)s::bigint
        )
    """,
}

#: Killmails on a page.
PAGE_SIZE = 20

#: The best of each type; who has the same figure has the same place.
TOP = """
select s.*, rank() over (partition by s."entityType" order by f.figure desc) as place
from unnest(array['character', 'corporation', 'alliance']) as t (type)
cross join lateral public.get_top_entities_from_cache(t.type, %(period)s, %(metric)s) as s
cross join lateral entity_stats.figure(s, %(metric)s) as f
order by place, s.kills desc, s."entityId"
"""
RUN_CLAIMS = "select * from entity_stats.verification(%(run)s)"

#: Operations whose success says that every claim holds.
PROVE = ("backfill", "cleanup", "verify", "check")

#: SQLSTATEs of a missing schema, function, table and column.
NOT_DEPLOYED = ("3F000", "42883", "42P01", "42703")

Row = dict[str, Any]
Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]


class UnreachableError(Exception):
    """The database does not answer, or Airflow does not know it; the message says why."""


@dataclass
class Report:
    """What has been read.

    Attributes:
        rows: of each part that could be read.
        errors: part to the server's message, of those that could not.
        problem: why there is nothing to show: unconfigured, down, undeployed or outdated; None if there is.
        message: what the driver or the server says about the problem.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    problem: str | None = None
    message: str = ""

    def first(self, part: str) -> Row | None:
        """The first row of a part, or None."""
        return next(iter(self.rows.get(part, [])), None)

    def error(self, part: str) -> str:
        """Why a part could not be read, "" if it could."""
        return self.errors.get(part, "")

    @property
    def ready(self) -> bool:
        """Whether the cache is ready."""
        status = self.first("status")
        return bool(status and status["status"] == "ready")

    @property
    def verdict(self) -> str:
        """What leads: right, suspect, stale, building, empty, not deployed, or unknown."""
        if self.problem:
            return "not deployed" if self.problem == "undeployed" else "unknown"
        status = self.first("status")
        return str(status["verdict"]) if status else "unknown"

    @property
    def failing(self) -> list[Row]:
        """Claims that do not hold, warnings last."""
        broken = [claim for claim in self.rows.get("claims", []) if claim["offending"]]
        return sorted(broken, key=lambda claim: (claim["severity"] == "warn", claim["claim"]))

    @property
    def failed_runs(self) -> list[Row]:
        """Runs that failed, the last of each operation, newest first; none that a later run has proved to be over."""
        history = self.rows.get("history", [])
        proved = max(
            (_number(run) for run in history if run["outcome"] == "success" and run["operation"] in PROVE), default=0
        )
        last = {run["operation"]: run for run in history}.values()
        failed = [run for run in last if run["outcome"] == "failure" and _number(run) > proved]
        return sorted(failed, key=_number, reverse=True)


def _number(run: Row) -> int:
    return int(run["run"])


def connect() -> AbstractContextManager[psycopg.Connection[Any]]:
    """A session on the killboard database as Airflow's connection describes it; it can only read.

    Raises:
        UnreachableError: there is no such connection, or nobody answers.
    """
    # Imported here: tests of the page need no Airflow, and importing providers takes a second.
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from airflow.sdk.bases.hook import BaseHook

    try:
        connection = BaseHook.get_connection(CONNECTION)
    except Exception as error:  # the secrets backends of a site raise what they like
        raise UnreachableError(f"Airflow has no connection {CONNECTION}: {error}") from error
    connection.extra = json.dumps({**connection.extra_dejson, "connect_timeout": CONNECT_TIMEOUT})
    try:
        session = PostgresHook(connection=connection, log_sql=False).get_conn()
    except psycopg.Error as error:
        raise UnreachableError(str(error)) from error
    assert isinstance(session, psycopg.Connection), "the page needs psycopg 3"
    return closing(session)


@dataclass(frozen=True)
class Wanted:
    """What somebody asks the page for. Texts go to the database as they are: it says what is wrong with them.

    Attributes:
        entity: id to look up.
        explain: type of the entity whose figures are to be explained.
        period: whose figures.
        before_time: of the last killmail of the page before, if it is not the first page.
        before_id: its id.
        top: period of the top lists.
        by: their metric.
        run_id: of an Airflow run, whose record is wanted too.
    """

    entity: int | None = None
    explain: str = ""
    period: str = ""
    before_time: str = ""
    before_id: str = ""
    top: str = "all"
    by: str = "kills"
    run_id: str = ""


def read(connect: Connect, wanted: Wanted) -> Report:
    """Read everything that the page shows. What the database says about a part ends up in the report, never here.

    Args:
        connect: opens a session.
        wanted: what is to be looked up.
    """
    report = Report()
    deadline = time.monotonic() + PAGE_TIMEOUT
    try:
        with connect() as session:
            _restrict(session)
            for part, query in PARTS.items():
                _part(session, report, part, query, {}, deadline)
                if report.problem:
                    return report
            if run := next((r for r in report.rows.get("history", []) if r["airflowRun"] == wanted.run_id), None):
                report.rows["run"] = [run]
                _part(session, report, "run_claims", RUN_CLAIMS, {"run": run["run"]}, deadline)
            if wanted.entity is not None:
                _look_up(session, report, wanted, deadline)
            if report.ready:
                _part(session, report, "top", TOP, {"period": wanted.top, "metric": wanted.by}, deadline)
    except UnreachableError as error:
        report.problem = "unconfigured" if error.__cause__.__class__.__name__ == "AirflowNotFoundException" else "down"
        report.message = str(error)
    except psycopg.Error as error:
        report.problem, report.message = "down", str(error)
    return report


def _look_up(session: psycopg.Connection[Any], report: Report, wanted: Wanted, deadline: float) -> None:
    entity: Row = {"entity": wanted.entity}
    _part(session, report, "lookup", LOOKUP, entity, deadline)
    if types := sorted({row["entityType"] for row in report.rows.get("lookup", [])}):
        for part, query in OF_EACH_TYPE.items():
            _part(session, report, part, query, {**entity, "types": types}, deadline)
    if wanted.explain:
        which = {
            "type": wanted.explain,
            "period": wanted.period,
            "page_size": PAGE_SIZE,
            "before_time": wanted.before_time or None,
            "before_id": wanted.before_id or None,
        }
        for part, query in EXPLANATION.items():
            _part(session, report, part, query, entity | which, deadline)


def _restrict(session: psycopg.Connection[Any]) -> None:
    """Make the session read-only and time-limited, whatever options its connection has."""
    session.autocommit = True
    session.row_factory = dict_row
    for name, value in {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{STATEMENT_TIMEOUT}s",
        "lock_timeout": "1s",
        "TimeZone": "UTC",
        "application_name": "entity_stats page",
    }.items():
        session.execute("select set_config(%s, %s, false)", [name, value])


def _part(
    session: psycopg.Connection[Any], report: Report, part: str, query: str, parameters: Row, deadline: float
) -> None:
    if time.monotonic() > deadline:
        report.errors[part] = f"not read: the database took more than {PAGE_TIMEOUT} s for what is above"
        return
    try:
        report.rows[part] = session.execute(query, parameters).fetchall()
    except psycopg.Error as error:
        if session.closed:
            raise
        message = error.diag.message_primary or str(error)
        if error.sqlstate in NOT_DEPLOYED:
            report.problem, report.message = ("undeployed" if part == "status" else "outdated"), message
        elif error.sqlstate == "42501":
            report.problem, report.message = "forbidden", message
        report.errors[part] = message
