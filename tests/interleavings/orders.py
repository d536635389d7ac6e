"""Named specifications: sessions with steps, run in every order that keeps each session's own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.fixtures.database import ORACLE, Database
from tests.fixtures.worlds import MISFILED, TIMEOUT

#: A table of the site's own, with a deferred trigger. Copies of all that a specification may change, and how to put them back without a trigger that counts.
SAVE = """
create schema saved;

create table test.counter as select 0 as n;
create table test.late (at timestamptz default now());
create function test.count_late() returns trigger language plpgsql as $$
begin
    update test.counter set n = n + 1;
    return null;
end
$$;
create constraint trigger late after insert on test.late deferrable initially deferred
for each row execute function test.count_late();

create procedure saved.save()
language plpgsql
as $$
declare
    kept record;
begin
    for kept in select * from saved.kept loop
        execute format('create table saved.%I as table %s', kept.copy, kept.original);
    end loop;
end
$$;

create procedure saved.restore()
language plpgsql
as $$
declare
    kept record;
begin
    perform set_config('entity_stats.capture', 'off', true);
    for kept in select * from saved.kept loop
        execute format('delete from %s', kept.original);
        execute format(
            'insert into %1$s (%3$s) overriding system value select %3$s from saved.%2$I', kept.original, kept.copy, kept.columns
        );
    end loop;
end
$$;

create view saved.kept as
select
    c.oid::regclass as original,
    n.nspname || '.' || c.relname as copy,
    (
        select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
        from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    ) as columns
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
    (n.nspname = 'entity_stats' and c.relkind = 'r' and c.relname <> 'gate')
    or c.oid in ('public.killmails'::regclass, 'public.entity_stats_cache'::regclass, 'public.entity_stats_invalidation'::regclass);

call saved.save();
"""

#: What a session does: it works, or it waits for somebody (with retries: it sleeps between two tries), or it has done its step.
WAITING = """
select coalesce(bool_and(cardinality(pg_blocking_pids(a.pid)) > 0 or a.wait_event = 'PgSleep'), true)
from pg_stat_activity as a
where a.pid = any(%s)
"""


#: Any difference, what is pending taken into account. Inlined, so that a session plans it once: planning takes longer than looking.
LOOK = "select * from entity_stats.differing_cells() where public.is_stats_cache_populated()"


class InexactError(AssertionError):
    """A figure is wrong."""


class DeadlockError(AssertionError):
    """A session, or a fold at COMMIT, has met a deadlock."""


@dataclass(frozen=True)
class Specification:
    """What sessions do side by side.

    Attributes:
        name: what it is called in tests and in the table of mutants.
        sessions: name of a session -> its steps, SQL each; a step may hold several statements, in one transaction.
        before: statements that come before all sessions, committed one by one.
        after: statements that come after all of them, before the judgement.
    """

    name: str
    sessions: Mapping[str, Sequence[str]]
    before: Sequence[str] = ()
    after: Sequence[str] = ()


def orders(lengths: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """Every order of the sessions' steps, as names of sessions."""
    if not any(lengths.values()):
        yield ()
    for name, length in lengths.items():
        if length:
            for rest in orders({**lengths, name: length - 1}):
                yield (name, *rest)


@dataclass
class Tally:
    """What was run.

    Attributes:
        orders: how many orders of the steps.
        looks: how many looks at the figures, one after each step.
        unjudged: how many of the looks found a table locked and saw nothing.
    """

    orders: int = 0
    looks: int = 0
    unjudged: int = 0


def run(specification: Specification, database: Database) -> Tally:
    """Run all orders in a world that has been saved.

    Raises:
        InexactError: after an order, or at once, a figure is wrong.
        DeadlockError: PostgreSQL has counted a deadlock, whoever was ended by it.
        AssertionError: a session has failed.
    """
    database.execute("vacuum")
    tally = Tally()
    with ExitStack() as stack:
        judge = stack.enter_context(database.connect(options="-c jit=off -c lock_timeout=10ms"))
        sessions = {name: stack.enter_context(database.connect()) for name in specification.sessions}
        for order in orders({name: len(steps) for name, steps in specification.sessions.items()}):
            database.execute("call saved.restore()")
            try:
                _run_order(specification, database, judge, sessions, order, tally)
            except AssertionError as error:
                raise type(error)(f"{specification.name}: {' '.join(order)}\n{error}") from error
            tally.orders += 1
    return tally


def _run_order(
    specification: Specification,
    database: Database,
    judge: psycopg.Connection[Any],
    sessions: Mapping[str, psycopg.Connection[Any]],
    order: Sequence[str],
    tally: Tally,
) -> None:
    for statement in specification.before:
        database.execute(statement)
    before = _deadlocks(database)
    steps = {name: iter(own) for name, own in specification.sessions.items()}
    todo: dict[str, list[Future[Any]]] = {name: [] for name in sessions}
    with ExitStack() as stack:
        # One thread each: a step whose session is still waiting follows when that one is through.
        threads = {name: stack.enter_context(ThreadPoolExecutor(1)) for name in sessions}
        for name in order:
            todo[name].append(threads[name].submit(sessions[name].execute, next(steps[name]).encode()))
            _settle(database, sessions, todo)
            _look(judge, tally)
    errors = {name: error for name in todo for future in todo[name] if (error := future.exception())}
    for session in sessions.values():
        session.rollback()
        session.execute("select pg_stat_force_next_flush()")  # else it reports a deadlock when it likes
    if _deadlocks(database) > before:
        reasons = database.fetch("select l.reason from entity_stats.ledger as l where l.reason is not null")
        raise DeadlockError(f"{errors} {reasons}")
    assert errors == {}, errors
    for statement in specification.after:
        database.execute(statement)
    try:
        _assert_exact(database, judge)
    except AssertionError as error:
        raise InexactError(str(error)) from error


def _deadlocks(database: Database) -> int:
    """How many deadlocks PostgreSQL has counted in this database."""
    return int(database.value("select d.deadlocks from pg_stat_database as d where d.datname = current_database()"))


def _settle(
    database: Database, sessions: Mapping[str, psycopg.Connection[Any]], todo: Mapping[str, Sequence[Future[Any]]]
) -> None:
    """Wait until each session has done its steps or waits for another."""
    deadline = time.monotonic() + TIMEOUT
    while busy := [name for name in sessions if not all(future.done() for future in todo[name])]:
        wait([future for name in busy for future in todo[name]], timeout=0.003)
        busy = [name for name in busy if not all(future.done() for future in todo[name])]
        if database.value(WAITING, [[sessions[name].info.backend_pid for name in busy]]):
            return
        assert time.monotonic() < deadline, f"never settled: {busy}"


def _look(judge: psycopg.Connection[Any], tally: Tally) -> None:
    """Cache + pending is the truth at every moment; while a table is locked, nobody can look."""
    tally.looks += 1
    try:
        found = judge.execute(LOOK, prepare=True).fetchall()
    except psycopg.errors.LockNotAvailable:
        tally.unjudged += 1
        return
    if found:
        raise InexactError(f"at once: {found[:4]}")


def _assert_exact(database: Database, judge: psycopg.Connection[Any]) -> None:
    """The invariant, as the judge of all tests has it, in sessions that have their plans already; these worlds keep no history."""
    assert database.value("select public.is_stats_cache_populated()")
    assert (found := judge.execute(LOOK, prepare=True).fetchall()) == [], found[:8]
    database.execute("call entity_stats.fold_pending()")
    assert database.value("select s.pending from entity_stats.status() as s") == 0
    assert database.value("select count(*) from entity_stats.ledger") == 0
    assert (cells := judge.execute(ORACLE.read_text().encode(), prepare=True).fetchall()) == [], cells[:8]
    assert (found := judge.execute(LOOK, prepare=True).fetchall()) == [], found[:8]
    assert database.fetch(MISFILED) == []
