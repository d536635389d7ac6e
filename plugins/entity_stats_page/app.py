"""The page's web application. Airflow's own permission to see plugins is needed; without a login the answer is 401."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from entity_stats_page import report

DAGS = (
    "entity_stats_backfill",
    "entity_stats_daily_cleanup",
    "entity_stats_fold_pending",
    "entity_stats_recalculate",
    "entity_stats_verify",
)

#: What the top lists can be ordered by, and the name of the figure.
METRICS = {"kills": "kills", "isk": "iskDestroyed", "efficiency": "efficiency", "solo": "soloKills"}

PERIODS = ("all", "90d", "30d", "14d")

#: Ids are positive and fit into a bigint.
LARGEST_ID = 2**63 - 1

#: Columns of offending rows that say what they are about.
SUBJECT = ("entityType", "entityId", "period", "column")

app = FastAPI(
    title="Entity stats cache",
    dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
)


def utc(moment: datetime | None, zone: str = " UTC") -> str:
    """A time to the second, in UTC, as the read API's times without a zone are."""
    if not moment:
        return "never"
    return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%Y-%m-%d %H:%M:%S}{zone}"


def day(moment: datetime) -> str:
    """A date for an axis, in UTC."""
    return f"{moment.astimezone(UTC):%d %b}"


def span(seconds: float | timedelta | None) -> str:
    """A duration in its two largest units."""
    if seconds is None:
        return "-"
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if seconds < 10:
        return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
    total = round(seconds)
    for name, unit, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if total >= unit:
            rest = total % unit // part
            return f"{total // unit} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{total} s"


def ago(moment: datetime) -> str:
    """How long ago, or in how long, a moment is."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def number(value: Any) -> str:
    """A number with thousands separators and at most two decimals."""
    return "-" if value is None else f"{value:,.2f}".removesuffix(".00")


def isk(value: Any) -> str:
    """An amount of ISK, with its cents, so that amounts stand under each other."""
    return f"{value:,.2f}"


def short(value: Any) -> str:
    """An amount of ISK in three digits or so, for where its cents have no room."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * size:
            amount = float(value) / size
            return f"{amount:.{2 if amount < 9.995 else 1 if amount < 99.95 else 0}f} {unit}"
    return f"{value:.0f}"


def month(moment: date) -> str:
    """A month's name and year."""
    return f"{moment:%b %Y}"


def columns(row: Mapping[str, Any]) -> list[str]:
    """The columns of an offending row, what it is about first: in the database they are in no order."""
    return sorted(row, key=lambda name: SUBJECT.index(name) if name in SUBJECT else len(SUBJECT))


def size(value: int | None) -> str:
    """Bytes in the unit that suits."""
    amount, units = float(value or 0), ["bytes", "kB", "MB", "GB", "TB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:,.0f} {units[0]}" if units[0] == "bytes" else f"{amount:,.1f} {units[0]}"


templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters.update({of.__name__: of for of in (utc, day, month, span, ago, number, isk, short, columns, size)})


def parse_entity(text: str) -> tuple[int | None, str]:
    """The id that somebody typed, and what is wrong with it ("": nothing)."""
    digits = re.sub(r"[\s,._']", "", text)
    if not digits:
        return None, ""
    if not re.fullmatch(r"[0-9]{1,19}", digits) or not 0 < int(digits) <= LARGEST_ID:
        return None, f"“{text[:40]}” is no id: ids are whole numbers from 1 to {LARGEST_ID:,}."
    return int(digits), ""


def connector() -> report.Connect:
    """How the page reaches the database; tests override it."""
    return report.connect


@app.get("/", response_class=HTMLResponse)
def page(
    connect: Annotated[report.Connect, Depends(connector)],
    entity: Annotated[str, Query(max_length=100)] = "",
    explain: Annotated[str, Query(max_length=50)] = "",
    period: Annotated[str, Query(max_length=50)] = "all",
    before_time: Annotated[str, Query(max_length=50)] = "",
    before_id: Annotated[str, Query(max_length=50)] = "",
    top: Annotated[str, Query(max_length=50)] = "all",
    by: Annotated[str, Query(max_length=50)] = "kills",
    dag_id: Annotated[str, Query(max_length=250)] = "",
    run_id: Annotated[str, Query(max_length=250)] = "",
) -> HTMLResponse:
    """The page; 422 with the page when the entity is no id."""
    looked_up, complaint = parse_entity(entity)
    wanted = report.Wanted(looked_up, explain, period, before_time, before_id, top, by, run_id)
    asked = {"dag_id": dag_id, "run_id": run_id, "entity": entity, "explain": explain, "period": period}
    asked |= {"before_time": before_time, "before_id": before_id, "top": top, "by": by}

    def here(anchor: str, **changes: Any) -> str:
        """The address of this page with something else in it; what is as it comes is left out."""
        query = {name: str(value) for name, value in (asked | changes).items()}
        usual = {"top": "all", "by": "kills"} | ({} if query["explain"] else {"period": query["period"]})
        kept = {name: value for name, value in query.items() if value and value != usual.get(name)}
        return f"?{urlencode(kept)}#{anchor}"

    html = templates.get_template("page.html").render(
        report=report.read(connect, wanted),
        now=datetime.now(UTC),
        wanted=wanted,
        asked=asked,
        here=here,
        complaint=complaint,
        metrics=METRICS,
        periods=PERIODS,
        page_size=report.PAGE_SIZE,
        dag_id=dag_id,
        run_id=run_id,
        foreign=bool(dag_id) and dag_id not in DAGS,
        thirty_days=timedelta(days=30),
        connection=report.CONNECTION,
    )
    # The page changes by itself, and nobody else may frame it.
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": "frame-ancestors 'self'"}
    return HTMLResponse(html, status_code=422 if complaint else 200, headers=headers)
