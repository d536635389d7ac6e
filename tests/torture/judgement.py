"""The judge after a round: own recount against the cache, status, pending facts, the server's log, failures of ingests."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.fixtures.database import SQL, Database
from tests.fixtures.worlds import until
from tests.torture.site import LEFT, PUT_BACK
from tests.torture.world import World, ours

#: Of a finding with many rows, so many are shown.
SHOWN = 8

LINE = re.compile(
    r"^\d{4}-\d\d-\d\d \S+ \S+ \[(\d+)\] (.*?) ?(LOG|ERROR|FATAL|WARNING|DETAIL|HINT|CONTEXT|STATEMENT|NOTICE):  ?(.*)$"
)


#: What belongs to the error that the same backend has logged before.
MORE = ("DETAIL", "HINT", "CONTEXT", "STATEMENT")


def died(world: World, since: int) -> list[str]:
    """What the server's log says, from a position on, of processes that died of something else than our SIGKILL."""
    with world.server.log.open(errors="replace") as log:
        log.seek(since)
        return [line.strip() for line in log if re.search(r"PANIC:|terminated by signal (?!9\b)", line)]


@dataclass(frozen=True)
class Deadlock:
    """One deadlock that the server has logged: whom it killed, whether something of ours was in it, and all that it said."""

    victim: str
    ours: bool
    text: str


def deadlocks(world: World, since: int) -> tuple[list[Deadlock], int]:
    """The deadlocks in the server's log from a position on, and the position to go on from."""
    with world.server.log.open(errors="replace") as log:
        log.seek(since)
        lines = log.read().splitlines()
        position = log.tell()
    records: list[tuple[str, str, str, list[str]]] = []
    for line in lines:
        if match := LINE.match(line):
            records.append((match[1], match[2], match[3], [match[4]]))
        elif records:
            records[-1][3].append(line.strip())
    found = []
    for number, (pid, victim, level, text) in enumerate(records):
        if level == "ERROR" and text[0].startswith("deadlock detected"):
            said = itertools.takewhile(
                lambda record: record[2] in MORE, (record for record in records[number + 1 :] if record[0] == pid)
            )
            lines = [line for record in said for line in (f"{record[2]}: {record[3][0]}", *record[3][1:])]
            found.append(_deadlock(world.database, victim, "\n".join(lines)))
    return found, position


def _deadlock(database: Database, victim: str, text: str) -> Deadlock:
    """Relations named by number get their names, as long as they exist.

    Whose code waits for a row of another transaction is logged of the victim only. Sessions of the site wait for each other in no
    circle of rows, so a deadlock without ours is one of relations that are not ours. Whoever drops our schema locks our tables in the order
    that PostgreSQL chooses: that may fail him or our own sessions, not an ingest.
    """

    def name(match: re.Match[str]) -> str:
        found = database.fetch("select c.oid::regclass::text from pg_class as c where c.oid = %s::oid", [match[1]])
        return f"relation {found[0][0] if found else 'gone'}"

    text = re.sub(r"relation (\d+)", name, text)
    if "drop schema entity_stats" in text and "writer" not in victim:
        return Deadlock(victim, False, brief(text))
    waits = re.findall(r"Process \d+ waits for .*", text)
    return Deadlock(
        victim,
        ours(text) or not all(re.search("on relation (killmails|torture|gone)", wait) for wait in waits),
        brief(text),
    )


def brief(context: str) -> str:
    """What the server says of where something happened, without the text of long statements."""
    told = re.compile(r"(DETAIL|CONTEXT|STATEMENT|Process|while|PL/pgSQL function|SQL function)\b.*")
    return "\n".join(f"    {line[:200]}" for line in context.splitlines() if told.match(line))


def end_prepared(database: Database) -> None:
    """End what writers have left prepared: half of it each way."""
    for number, (gid,) in enumerate(database.fetch("select gid from pg_prepared_xacts order by prepared")):
        database.execute(f"{'rollback' if number % 2 else 'commit'} prepared '{gid}'")


def finish(world: World, findings: list[str]) -> None:
    """End what a step of the site was interrupted in."""
    database = world.database
    until(
        database,
        "select count(*) = 0 from pg_stat_activity where application_name like 'torture %%' and datname = current_database()",
        [],
    )
    mend(database, findings)


def mend(database: Database, findings: list[str]) -> None:
    """Put right what a step of the site has left that was interrupted."""
    replaced = False
    for left, statements in LEFT.items():
        if database.fetch(left):
            for statement in statements:
                database.execute(statement)
            replaced = replaced or statements == PUT_BACK
    database.execute("truncate torture.seen")
    if replaced or database.value("select to_regprocedure('entity_stats.status()') is null"):
        deploy(database, findings)


def deploy(database: Database, findings: list[str]) -> None:
    """Deploy; that has to succeed whatever has happened."""
    result = database.psql("--quiet", "-f", SQL / "deploy.sql")
    if result.returncode:
        findings.append(f"deploy.sql failed: {result.stderr.strip()}")


def call(database: Database, statement: str, findings: list[str]) -> None:
    """Run one of ours that has to succeed now that nobody else is there."""
    try:
        with database.connect() as session:
            session.execute(statement.encode())
    except psycopg.Error as error:
        findings.append(f"{statement} failed alone: {error.sqlstate} {error}")


def judge(
    world: World, database: Database, findings: list[str], healed: list[str], label: str = "", fill: bool = True
) -> None:
    """The cache and the history are what the killmails say, as they are; a cache that is not ready is filled first.

    Args:
        world: Knows what explains that a cache is not ready, and counts what was judged.
        database: Where nobody else is.
        findings: Gets what must not be.
        healed: Gets why a cache was not ready.
        label: Where this is, for the findings.
        fill: Whether the next round begins with the history filled; else it has fallen behind, or is none.
    """
    if database.value("select to_regprocedure('entity_stats.status()') is null"):
        findings.append(f"{label}there is no cache to be judged")
        return
    [(status, reason, rebuilding)] = _status(database)
    if status == "ready":
        world.tally.add("judgement", "cache as it was")
        _history(world, database, findings, label, "history as it was")
    else:
        world.tally.add("judgement", "cache after a refill")
        healed.append(f"{label}{status}: {reason}")
        world.notice(status, reason)
        deploy(database, findings)
        call(database, "call entity_stats.backfill()", findings)
    _exact(database, findings, label)
    _history(world, database, findings, label, "history, late facts applied")
    if rebuilding and status == "ready":
        call(database, "call entity_stats.backfill()", findings)
        _exact(database, findings, f"{label}after the rebuild: ")
    if fill:
        call(database, "call entity_stats.fill_history()", findings)
        _history(world, database, findings, f"{label}filled: ", "history filled by the judge")


def _status(database: Database) -> list[tuple[Any, ...]]:
    return database.fetch("select s.status, s.reason, s.rebuilding from entity_stats.status() as s")


def _history(world: World, database: Database, findings: list[str], label: str, counted: str) -> None:
    """Rows, what is late and what is pending are the killmails of each closed day and month."""
    if database.value('select "closedTo" is null from entity_stats.history'):
        return
    world.tally.add("judgement", counted)
    if wrong := database.history_oracle():
        shown = "\n".join(f"    {row}" for row in wrong[:SHOWN])
        findings.append(f"{label}{len(wrong)} rows are wrong in the {counted} (kind, entity, date, missing):\n{shown}")
        call(database, "call entity_stats.drop_history()", findings)
        call(database, "call entity_stats.fill_history()", findings)
        if wrong := database.history_oracle():
            findings.append(f"{label}{len(wrong)} rows of the history are wrong after it was filled anew")


def _exact(database: Database, findings: list[str], label: str) -> None:
    call(database, "call entity_stats.fold_pending()", findings)
    [(status, reason, _)] = _status(database)
    if status != "ready":
        findings.append(f"{label}the cache is {status}: {reason}")
    if pending := database.value("select s.pending from entity_stats.status() as s"):
        findings.append(f"{label}{pending} facts are still pending")
    if wrong := database.oracle():
        shown = "\n".join(f"    {row}" for row in wrong[:SHOWN])
        findings.append(f"{label}{len(wrong)} cells are wrong (entity, type, column, cached, actual):\n{shown}")
        deploy(database, findings)
        call(database, "call entity_stats.backfill(rebuild => true)", findings)
        if wrong := database.oracle():
            findings.append(f"{label}{len(wrong)} cells are wrong after a rebuild")
