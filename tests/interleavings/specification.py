"""Named specifications: sessions with steps, run in every order that keeps each session's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.database import Database
from tests.invariants.world import PATIENCE, assert_exact

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
    or c.oid in ('public.killmails'::regclass, 'public.entity_stats_cache'::regclass);

call saved.save();
"""

#: What a session does: it works, or it waits for somebody (patiently: it sleeps between two tries), or it has done its step.
WAITING = """
select coalesce(bool_and(cardinality(pg_blocking_pids(a.pid)) > 0 or a.wait_event = 'PgSleep'), true)
from pg_stat_activity as a
where a.pid = any(%s)
"""


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


def run(specification: Specification, database: Database) -> int:
    """Run all orders in a world; returns how many.

    Raises:
        InexactError: after an order, or at once, a figure is wrong.
        DeadlockError: a session, or a fold at COMMIT, has met a deadlock.
        AssertionError: a session has failed.
    """
    database.execute(SAVE)
    count = 0
    with ExitStack() as stack:
        sessions = {name: stack.enter_context(database.connect()) for name in specification.sessions}
        for order in orders({name: len(steps) for name, steps in specification.sessions.items()}):
            database.execute("call saved.restore()")
            try:
                _run_order(specification, database, sessions, order)
            except AssertionError as error:
                raise type(error)(f"{specification.name}: {' '.join(order)}\n{error}") from error
            count += 1
    return count


def _run_order(
    specification: Specification,
    database: Database,
    sessions: Mapping[str, psycopg.Connection[Any]],
    order: Sequence[str],
) -> None:
    for statement in specification.before:
        database.execute(statement)
    steps = {name: iter(own) for name, own in specification.sessions.items()}
    todo: dict[str, list[Future[Any]]] = {name: [] for name in sessions}
    with ExitStack() as stack:
        # One thread each: a step whose session is still waiting follows when that one is through.
        threads = {name: stack.enter_context(ThreadPoolExecutor(1)) for name in sessions}
        for name in order:
            todo[name].append(threads[name].submit(sessions[name].execute, next(steps[name]).encode()))
            _settle(database, sessions, todo)
            _look(database)
    errors = {name: error for name in todo for future in todo[name] if (error := future.exception())}
    for session in sessions.values():
        session.rollback()
    if any(isinstance(error, psycopg.errors.DeadlockDetected) for error in errors.values()):
        raise DeadlockError(str(errors))
    assert errors == {}, errors
    failed = database.fetch("select l.reason from entity_stats.ledger as l where l.reason like '40P01%'")
    if failed:
        raise DeadlockError(str(failed))
    for statement in specification.after:
        database.execute(statement)
    try:
        assert_exact(database)
    except AssertionError as error:
        raise InexactError(str(error)) from error


def _settle(
    database: Database, sessions: Mapping[str, psycopg.Connection[Any]], todo: Mapping[str, Sequence[Future[Any]]]
) -> None:
    """Wait until each session has done its steps or waits for another."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while busy := [name for name in sessions if not all(future.done() for future in todo[name])]:
        if database.value(WAITING, [[sessions[name].info.backend_pid for name in busy]]):
            return
        assert time.monotonic() < deadline, f"never settled: {busy}"
        pause.wait(0.002)


def _look(database: Database) -> None:
    """Cache + pending is the truth at every moment; while a table is locked, nobody can look."""
    try:
        database.execute("set lock_timeout = '50ms'")
        found = database.fetch("select * from entity_stats.differences() where public.is_stats_cache_populated()")
    except psycopg.errors.LockNotAvailable:
        return
    finally:
        database.execute("reset lock_timeout")
    if found:
        raise InexactError(f"at once: {found[:4]}")
