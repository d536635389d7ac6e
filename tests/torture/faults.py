"""Faults: sessions are terminated and cancelled, a backend is killed, the server is stopped at once, a standby is promoted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

import psycopg

from tests.fixtures.database import Database
from tests.fixtures.standby import standby
from tests.fixtures.worlds import until
from tests.torture.world import Actor, World

SESSIONS = """
select a.pid, a.application_name like 'torture site%%' from pg_stat_activity as a
where a.datname = current_database() and a.pid <> pg_backend_pid()
and (a.application_name like any (array['torture writer%%', 'torture maintenance%%', 'torture site%%']) or a.application_name = 'psql')
order by a.pid
"""


class Faults(Actor):
    """Cancels or terminates sessions, one by one."""

    KIND = "fault"
    PAUSE = 1.0
    WEIGHTS: ClassVar = {"cancel": 3, "terminate": 2}

    def _strike(self, how: str, function: str) -> None:
        pids = self.execute(SESSIONS, []).fetchall()
        if not pids:
            return
        pid, site = self.draw.choice(pids)
        if site and self.draw.random() < 0.7:  # it would seldom get its locks
            return
        with self.world.lock:
            self.world.struck.setdefault(pid, set()).add(how)
        self.execute(f"select {function}(%s)", [pid])

    def do_cancel(self) -> None:
        self._strike("cancelled", "pg_cancel_backend")

    def do_terminate(self) -> None:
        self._strike("terminated", "pg_terminate_backend")

    def excuse(self, error: psycopg.Error, step: str) -> str:
        """A fault may miss."""
        return "fault"


def crash(world: World, kill: bool) -> None:
    """Crash the server with all that is going on, and bring it back: a backend dies by SIGKILL, or all stop at once."""
    with world.crashing():
        _crash(world, kill)


def _crash(world: World, kill: bool) -> None:
    world.tally.add("fault", "kill -9 of a backend" if kill else "immediate shutdown")
    if kill:
        other = world.database.connect()
        victim = world.database.connect()
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        victim.close()
        with suppress(psycopg.OperationalError):  # the server ends all sessions when it notices
            while True:
                other.execute("select pg_sleep(0.05)")
    else:
        world.server.restart("immediate")
    world.database.close()
    deadline = time.monotonic() + 60
    while True:
        try:
            world.database.connect().close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def promoted(world: World) -> Iterator[Database]:
    """The database on a standby that was promoted in the midst of whatever goes on."""
    with standby(world.server) as copy:
        database = Database(copy, "torture")
        database.execute("select pg_promote(wait => false)")
        until(database, "select not pg_is_in_recovery()")
        world.tally.add("fault", "standby promoted")
        yield database
        database.close()
