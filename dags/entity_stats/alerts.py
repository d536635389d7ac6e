"""Alerts: one message through one Airflow connection when something has failed for good, one when it works again.

The connection `entity_stats_alerts` names any services that Apprise knows (Discord, Slack, mail, a webhook and many
more); without it, messages are lines in the task's log. Each alert that was sent and is not solved yet is an Airflow
variable `entity_stats_alert.*` (a task whose process has died alerts from the DAG processor, which reaches variables,
but no state store): it keeps a claim from alerting twice in a run, and anything else from alerting again within
`REMIND_AFTER`. Delete the variable, and the next failure alerts again.

    python -m entity_stats.alerts    sends a message, to try the connection in AIRFLOW_CONN_ENTITY_STATS_ALERTS
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseNotifier, Variable
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from entity_stats.errors import ClaimsBroken, DatabaseUnreachable, Offence, ParamsRefused, table

#: Airflow connection of type apprise.
CONNECTION = "entity_stats_alerts"

#: Beginning of the names of the variables that say which alerts have been sent.
TOLD = "entity_stats_alert."

#: The incident that all tasks have in common.
DATABASE = "database"

#: What keeps failing alerts again after this long: daily runs each time, five-minute runs not.
REMIND_AFTER = timedelta(hours=20)

#: Characters of a message: Discord takes 2,000, title included. Text, and rows as a table, are cut to fit.
LONGEST_TEXT, LONGEST_TABLE, LONGEST_CELL = 700, 700, 60

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Incident:
    """Something to alert about.

    Attributes:
        name: What it is about: the same thing has the same name in every run.
        title: One line.
        body: Markdown: what it means, what was seen, what to do.
        every_run: It alerts once in each run.
    """

    name: str
    title: str
    body: str
    every_run: bool = False


class Alert(BaseNotifier):
    """Says that a task has failed for good."""

    def notify(self, context: Any) -> None:
        """Send an alert, unless one has been sent."""
        run_id = context["dag_run"].run_id
        for incident in incidents(context):
            known = Variable.get(TOLD + incident.name, default=None)
            told = json.loads(known) if known else None
            if told and (told["run"] == run_id if incident.every_run else _recent(told["at"])):
                log.info("%s: an alert was sent at %s", incident.title, told["at"])
            elif send(incident.title, f"{incident.body}\n\n{where(context)}", "failure"):
                value = {"run": run_id, "at": datetime.now(UTC).isoformat(), "title": incident.title}
                Variable.set(TOLD + incident.name, value, serialize_json=True)


class Recovery(BaseNotifier):
    """Says that what an alert was about works again."""

    def notify(self, context: Any) -> None:
        """Send what this task has shown to work."""
        shown = {DATABASE, task_name(context), *getattr(context["task"], "claims", ())}
        for name in sorted(set(Variable.keys(TOLD)) & {TOLD + name for name in shown}):
            known = Variable.get(name, default=None)
            if known is None:
                continue
            # Forgotten before it is sent: other tasks of the run may be showing the same at this moment.
            Variable.delete(name)
            told = json.loads(known)
            text = f"It works again. The alert was sent at {told['at'][:16].replace('T', ' ')} UTC.\n\n{where(context)}"
            sent = False
            try:
                sent = send(f"Solved: {told['title']}", text, "success")
            finally:
                if not sent:
                    Variable.set(name, known)


class Question(BaseNotifier):
    """Says that a run waits for a person's approval."""

    def notify(self, context: Any) -> None:
        """Say where to answer. A message that no service takes does not end the run: the question is in the UI."""
        ti, asking = context["ti"], context["task"]
        link = f"{ti.log_url.partition('?')[0]}/required_actions"
        try:
            send(f"{ti.dag_id}: may this run {asking.about}?", f"{asking.body}\n\nAnswer: {link}", "info")
        except AirflowException:
            log.exception("The question waits in the UI: %s", link)


def late(context: Any, title: str, text: str) -> None:
    """Says that a run has not finished in time (the callback of a deadline, which outlives a run that has failed).

    Args:
        context: `dag_run` and `deadline`, as dictionaries.
        title: One line.
        text: What it means and what to do.
    """
    run, deadline = context["dag_run"], context["deadline"]
    if run["state"] not in ("queued", "running"):
        log.info("%s has ended (%s): its own alert says how", run["dag_run_id"], run["state"])
        return
    send(
        title, f"{text}\n\nDeadline: {deadline['deadline_time']}\nRun: {run['dag_id']}, {run['dag_run_id']}", "warning"
    )


def send(title: str, body: str, kind: str) -> bool:
    """Send a message to all services of the connection; False when there is no connection.

    Args:
        title: One line.
        body: Markdown.
        kind: failure, warning, success or info: decides on colours and symbols.

    Raises:
        AirflowException: A service did not take it; its answer is in the log.
    """
    # Here, because it takes a while, and every parsing of the DAGs imports this module.
    from airflow.providers.apprise.hooks.apprise import AppriseHook
    from apprise import Apprise, NotifyFormat, NotifyType

    headline = f"[entity stats] {title}"
    hook = AppriseHook(CONNECTION)
    try:
        connection = hook.get_connection(CONNECTION)
    except AirflowNotFoundException:
        log.warning("No alert is sent, there is no Airflow connection %s: %s\n%s", CONNECTION, headline, body)
        return False
    services = Apprise()
    hook.set_config_from_conn(connection, services)
    if not services.notify(
        title=headline, body=body, notify_type=NotifyType(kind), body_format=NotifyFormat.MARKDOWN, tag="all"
    ):
        raise AirflowException(f"Not every service of the connection {CONNECTION} took: {headline}\n{body}")
    log.info("Sent: %s", headline)
    return True


def incidents(context: Any) -> Iterator[Incident]:
    """What to alert about when a task has failed."""
    error = context.get("exception")
    if isinstance(error, ClaimsBroken):
        for offence in error.offences:
            claim = offence.check.claim
            yield Incident(claim, f"{claim} does not hold: {offence.rows}", rows(offence), every_run=True)
        return
    text = code(str(error or "The task was ended from outside, or its process died."))
    if isinstance(error, DatabaseUnreachable):
        text += (
            "\nThe killboard's database does not answer. What to do: check that it is running, and that the Airflow "
            "connection entity_stats_db is right. The DAGs try again by themselves; nothing is lost meanwhile."
        )
        yield Incident(DATABASE, "PostgreSQL does not answer", text)
        return
    ti = context["ti"]
    if isinstance(error, ParamsRefused):
        text += "\nNothing has been done. What to do: trigger the DAG again with other params."
        yield Incident(task_name(context), f"{ti.dag_id}: these params are refused", text, every_run=True)
        return
    advice = triage(context["dag"].doc_md or "", ti.task_id)
    yield Incident(task_name(context), f"{ti.dag_id}: {ti.task_id} has failed", f"{text}\nWhat to do: {advice}")


def rows(offence: Offence) -> str:
    """What a claim means, what to do, and as many of the offending rows as a message takes."""
    sample = [{name: _cut(str(value), LONGEST_CELL) for name, value in row.items()} for row in offence.sample]
    grids = (table(sample[:shown]) for shown in (20, 10, 5, 3, 1))
    # A row that is wider than a message is written downwards, a line per column.
    tall = "\n".join(f"{name}: {value}" for name, value in sample[0].items())
    grid = next((grid for grid in grids if len(grid) <= LONGEST_TABLE), tall)
    return f"{_cut(offence.check.text, LONGEST_TEXT)}\n\n{offence.rows}, for example:\n{code(grid)}"


def code(text: str) -> str:
    """Text in a fixed-width font: fenced for chats, indented for what is made into HTML."""
    lines = _cut(text.strip(), LONGEST_TABLE).splitlines()
    return "\n".join(["```", "", *[f"    {line}" for line in lines], "", "```"])


def triage(doc: str, task_id: str) -> str:
    """What a DAG's documentation says about a task that fails: the item that begins with its name, or its group's."""
    for name, text in re.findall(r"^\* \*\*(.+?)\*\*:? +(.+(?:\n  .+)*)", doc, re.MULTILINE):
        if re.match(re.escape(name).replace(r"\.\.\.", ".*") + r"(\.|$)", task_id):
            return " ".join(text.split())
    return "see the log and the DAG's documentation in the UI."


def task_name(context: Any) -> str:
    """The name of a task, the same in every run."""
    ti = context["ti"]
    index = -1 if ti.map_index is None else ti.map_index
    return f"{ti.dag_id}.{ti.task_id}" + (f".{index}" if index >= 0 else "")


def where(context: Any) -> str:
    """The run, and where its log is."""
    ti = context["ti"]
    return f"Run: {ti.dag_id}, {context['dag_run'].run_id}\nTask: {ti.task_id}\nLog: {ti.log_url}"


def _recent(told_at: str) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(told_at) < REMIND_AFTER


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    sent = send("test message", "Alerts of the entity stats cache arrive here.", "info")
    sys.exit(None if sent else 1)
