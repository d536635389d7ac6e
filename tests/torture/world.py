"""The site that is tortured, the inputs it may get, and what all that act on it have in common."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from subprocess import CompletedProcess
from typing import Any, ClassVar

import psycopg

from local import SAMPLE
from local.server import EmbeddedServer, ServerError
from tests.fixtures.database import SQL, WRITER, Database
from tests.fixtures.worlds import GRANTS, KILLMAILS, TIMEOUT

#: Hostile inputs: the step of that name is taken only while its input is let in (--inputs, --without).
INPUTS = {
    "publication": "a publication for all tables",
    "read only": "SET TRANSACTION READ ONLY before COMMIT",
    "immediate twice": "SET CONSTRAINTS ALL IMMEDIATE twice, in READ COMMITTED and before PREPARE TRANSACTION",
    "deferred unique": "a deferred trigger of the site fills a table with a deferrable unique constraint",
    "settings": "an ingest sets every setting of ours that it can guess",
    "huge ids": "an entity whose id is 2^63-1",
    "odd times": "killmails twice, in the future, at infinity and at the end of time",
    "temporary files": "60,000 killmails in one INSERT under a temp_file_limit of 4 MB",
    "column added": "columns of killmails named as aliases of ours",
    "column renamed": "a column that we read is renamed for a while",
    "column dropped": "a column that we read is dropped, and added again without its values",
    "column type": 'the type of "totalValue" changes',
    "loaded partition": "a new partition is loaded straight, before anybody could guard it",
    "filled partition": "rows deleted from the default partition go straight into a new one, in one transaction",
    "detach and attach": "a populated partition is detached, and attached again or dropped",
    "row security": "row-level security hides the last hour for a while",
    "triggers disabled": "DISABLE TRIGGER ALL, INSERT, ENABLE TRIGGER ALL",
    "schema dropped": "DROP SCHEMA entity_stats CASCADE, deployed again",
    "table replaced": "killmails is renamed away and another table put in its place, deployed; then the same back",
    "subscription": "killmails is subscribed for a while",
    "role renamed": "the operators' role is renamed for a while",
    "dump": "pg_dump, which holds ACCESS SHARE on all of ours at once",
    "vacuum full": "VACUUM FULL of our tables behind open transactions",
    "reindex": "REINDEX of our tables beside everything else",
    "rebuild": "a rebuild beside recalculation, ageing and deploys",
    "truncate": "TRUNCATE of a small leaf",
}

#: How long a step that waits for locks of others does so. A site's DDL that waited longer would stop its own ingest.
SHORT = "-c lock_timeout=250ms"

#: Killmails of a million ids per seed; the same seed makes the same rows at any time. Few entities, so that all collide.
#: The first argument of a writer's own is its systems, whose deletion cascades.
SITE = f"""
create schema torture;
create table torture.killmail as table public.killmails with no data;
create table torture.epoch as select now() as at;
create table torture.system (id bigint primary key);
insert into torture.system select n from generate_series(0, 9999) as n;
create table torture.note (slot integer unique deferrable initially deferred);
create table torture.seen ("killmailId" bigint);
alter table torture.note replica identity full;
create function torture.killmails(writer bigint, rows bigint, seed bigint, to_age interval default '300 days')
returns setof torture.killmail
language sql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
    select
        k."killmailId", (select e.at from torture.epoch as e) - (now() - k."killmailTime"),
        100 * writer + k."killmailId" % 100, k."victimCharacterId", k."victimCorporationId", k."victimAllianceId",
        k."victimShipTypeId", k."topAttackerCharacterId", k."topAttackerCorporationId", k."topAttackerAllianceId",
        k."topAttackerShipTypeId", k."totalValue", k."attackerCount", k.npc, k.solo, k.awox
    from test.killmails(rows, seed, to_age => to_age) as k;
$$;

-- The site's own: every killmail is noted, some are changed in their partition by a trigger of their INSERT, and who asks for it gets a slot at
-- COMMIT, behind what the killmail itself has queued.
create function torture.see() returns trigger language plpgsql as $$
begin
    insert into torture.seen values (new."killmailId");
    if new."killmailId" % 7 = 0 and pg_trigger_depth() = 1 then
        execute format('update %s set npc = not npc, "totalValue" = 7 where "killmailId" = $1 and "killmailTime" = $2', tg_relid::regclass)
        using new."killmailId", new."killmailTime";
    end if;
    return null;
end
$$;
create trigger see after insert on public.killmails for each row execute function torture.see();
create function torture.take() returns trigger language plpgsql as $$
begin
    insert into torture.note values (current_setting('torture.slot')::integer);
    return null;
end
$$;
create constraint trigger take after insert on torture.seen deferrable initially deferred
for each row when (new."killmailId" % 50 = 1 and coalesce(current_setting('torture.slot', true), '') <> '')
execute function torture.take();
alter table public.killmails add constraint killmails_system
foreign key ("solarSystemId") references torture.system (id) on delete cascade;
create index on public.killmails ("solarSystemId");
grant usage on schema torture to {WRITER};
grant select, insert, update, delete, truncate on all tables in schema torture to {WRITER};
grant set on parameter temp_file_limit to {WRITER};
"""


#: The number of no writer: systems that are never deleted.
NOBODY = 99

#: The operators' role while it is renamed.
AWAY = "torture_operator"

#: A partition that is dropped by now has a number only.
PARTITION = (
    r"partition (\S*killmails_hour_\d+ (was dropped with its killmails|went|came with killmails in it)|\d+ went)"
)
NOT_CAPTURED = "killmails were not captured: .*"
#: Steps that end the cache's readiness -> what it says then. Whatever else it says is a finding.
STALING = {
    "create partition": PARTITION,
    "truncate": PARTITION,
    "detach and attach": PARTITION,
    "column renamed": rf"column solo of killmails is gone|{NOT_CAPTURED}\bsolo\b",
    "column dropped": rf"column solo of killmails is (gone|another one)|{NOT_CAPTURED}\bsolo\b",
    "column type": 'column "totalValue" of killmails was ',
    "row security": "row-level security of public.killmails hides",
    "triggers disabled": "triggers that capture killmails were disabled or dropped",
    "schema dropped": "nothing is built yet|triggers that capture killmails were disabled or dropped"
    f"|{NOT_CAPTURED}(canceling statement due to|deadlock detected)",  # it locks ledger and aside while it waits for more
    "table replaced": "killmails was renamed or dropped|killmails is another table|table public.killmails is gone"
    r"|triggers that capture killmails were disabled or dropped \(public.killmails\)",
    "subscription": "killmails is filled by logical replication",
}


@dataclass
class Failure:
    """A statement that failed: whose, what the server said, and what explains it, if anything does."""

    actor: str
    step: str
    sqlstate: str
    message: str
    context: str
    explained: str


@dataclass
class Tally:
    """What has happened so far."""

    done: dict[str, Counter[str]] = field(default_factory=dict)
    #: By whom, SQLSTATE and what explains it.
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unexplained: list[Failure] = field(default_factory=list)

    def add(self, kind: str, step: str) -> None:
        self.done.setdefault(kind, Counter())[step] += 1

    def total(self, kind: str) -> int:
        return self.done.get(kind, Counter()).total()


class World:
    """One server, one database of a site with the cache ready, and the record of what happens to it.

    Args:
        server: Where.
        inputs: Names of the hostile inputs that are let in.
        clients: How many writers there are.
    """

    def __init__(self, server: EmbeddedServer, inputs: Iterable[str], clients: int) -> None:
        self.server = server
        self.inputs = frozenset(inputs)
        self.clients = clients
        self.database = Database(server, "torture")
        self.tally = Tally()
        self.lock = threading.Lock()
        self.stop = threading.Event()
        #: From here on nothing is done in this round that ends the cache's readiness: whoever finds it ended mends it.
        self.calm = threading.Event()
        #: Held by who deploys or renames the operators' role.
        self.deploying = threading.Lock()
        #: Backends that a fault has struck, and how; twice the server's crashes so far. Sessions compare the latter.
        self.struck: dict[int, set[str]] = {}
        self.crashes = 0
        #: What was begun in this round, and what must not be that its sessions have seen.
        self.begun: set[str] = set()
        self.findings: list[str] = []

    def build(self) -> None:
        """Make the site with 2,000 killmails of 300 days, deploy, and fill the cache as of 200 days ago."""
        with psycopg.connect(self.server.conninfo(), autocommit=True) as session:
            session.execute("create database torture")
            session.execute(f"create role {WRITER} login".encode())
        self.database.load(SAMPLE)
        self.database.execute(KILLMAILS + GRANTS + SITE)
        self.database.execute("insert into public.killmails select * from torture.killmails(%s, 2000, 1)", [NOBODY])
        self.database.load(SQL / "deploy.sql")
        self.database.execute("call entity_stats.backfill(as_of => now() - interval '200 days')")
        self.database.execute("call entity_stats.fill_history(now() - interval '100 days')")
        self.database.close()

    def deploy(self) -> CompletedProcess[str]:
        """Deploy as an operator does, with the role in its place."""
        with self.deploying:
            if self.database.psql("-Atc", f"select 1 from pg_roles where rolname = '{AWAY}'").stdout:
                self.database.psql("-qc", f"alter role {AWAY} rename to entity_stats_operator")
            return self.database.psql("--quiet", "-f", SQL / "deploy.sql")

    def begin(self) -> None:
        """Forget what the last round did."""
        self.stop.clear()
        self.calm.clear()
        self.struck.clear()
        self.begun.clear()

    def find(self, finding: str) -> None:
        """Keep what must not be, once."""
        with self.lock:
            if finding not in self.findings:
                self.findings.append(finding)

    def explained(self, status: str, reason: str | None) -> bool:
        """Whether what was done in this round explains that the cache is not ready."""
        with self.lock:
            causes = [STALING[step] for step in self.begun & STALING.keys()]
        if status == "backfilling":  # whoever has begun that has looked why
            return bool(causes)
        return any(re.match(cause, reason or "nothing is built yet") for cause in causes)

    def notice(self, status: str, reason: str | None) -> None:
        """Take note of what the cache says of itself; that it is not ready must have a cause."""
        if status != "ready" and not self.explained(status, reason):
            did = ", ".join(sorted(self.begun & STALING.keys())) or "nothing"
            self.find(f"not explained by {did}: the cache was {status}: {(reason or '').split(' (noted at')[0]}")

    def connect(self, name: str, **parameters: Any) -> psycopg.Connection[Any] | None:
        """A session that says in the log whose it is; None when the torture ends before the server is back."""
        deadline = time.monotonic() + TIMEOUT
        while not self.stop.is_set():
            try:
                return self.database.connect(application_name=f"torture {name}", **parameters)
            except (psycopg.OperationalError, ServerError):
                if time.monotonic() > deadline:
                    raise
                self.stop.wait(0.1)
        return None

    @contextmanager
    def crashing(self) -> Iterator[None]:
        """Around a crash of the server: while it lasts the count is odd, and no session that begins lives."""
        with self.lock:
            self.crashes += 1
        yield
        with self.lock:
            self.crashes += 1

    def record(self, failure: Failure) -> None:
        """Count a failure, and keep it if nothing explains it."""
        with self.lock:
            self.tally.failures[failure.actor.split()[0], failure.sqlstate, failure.explained] += 1
            if not failure.explained:
                self.tally.unexplained.append(failure)


class Actor(threading.Thread):
    """Takes one step after the other, drawn by its seed, until the world stops; a lost session is replaced.

    Steps are methods whose names begin with `do_`, taken as often as WEIGHTS says (1 without); a step named as an input
    is taken only while that is let in.
    """

    KIND: ClassVar[str]
    WEIGHTS: ClassVar[dict[str, int]] = {}
    PARAMETERS: ClassVar[dict[str, str]] = {}
    PAUSE: ClassVar[float] = 0.0

    session: psycopg.Connection[Any]

    def __init__(self, world: World, number: int, seed: str) -> None:
        super().__init__(name=f"{self.KIND} {number}", daemon=True)
        self.world = world
        self.number = number
        self.draw = random.Random(f"{seed} {self.name}")
        self.crash: BaseException | None = None
        names = [name.removeprefix("do_").replace("_", " ") for name in dir(self) if name.startswith("do_")]
        self.steps = [name for name in names if name not in INPUTS or name in world.inputs]

    def execute(self, statement: str, params: Any = None) -> psycopg.Cursor[Any]:
        """Run a statement in this actor's session."""
        return self.session.execute(statement.encode(), params)

    def run(self) -> None:
        """The thread."""
        try:
            while not self.world.stop.is_set():
                session = self.world.connect(self.name, **self.PARAMETERS)
                if session is None:
                    return
                self.session = session
                with session:
                    pid, crashes = session.info.backend_pid, self.world.crashes
                    while not self.world.stop.is_set() and not session.closed:
                        self.take(pid, crashes)
                        self.world.stop.wait(self.draw.uniform(0, self.PAUSE))
        except BaseException as error:
            self.crash = error
            raise

    def take(self, pid: int, crashes: int) -> None:
        """One step, in the session with this backend, which began after so many crashes."""
        steps = [name for name in self.steps if name not in STALING] if self.world.calm.is_set() else self.steps
        step = self.draw.choices(steps, [self.WEIGHTS.get(name, 1) for name in steps])[0]
        with self.world.lock:
            self.world.begun.add(step)
        try:
            getattr(self, f"do_{step.replace(' ', '_')}")()
            with self.world.lock:
                self.world.tally.add(self.KIND, step)
        except psycopg.Error as error:
            self.world.record(
                Failure(
                    self.name,
                    step,
                    error.sqlstate or "lost",
                    error.diag.message_primary or str(error),
                    error.diag.context or "",
                    self._why(error, step, pid, crashes),
                )
            )
            self._clean()
        except ServerError:  # psql has no server to ask
            if crashes % 2 == 0 and self.world.crashes == crashes:
                raise
            self.session.close()

    def _clean(self) -> None:
        """Back to a session without a transaction and without settings."""
        try:
            if not self.session.closed:
                self.session.execute("rollback")
                self.session.execute("reset all")
        except psycopg.Error:
            self.session.close()

    def _why(self, error: psycopg.Error, step: str, pid: int, crashes: int) -> str:
        """What explains a failure: a fault, or what would have failed without the cache; empty: nothing."""
        with self.world.lock:
            struck, crashed = self.world.struck.get(pid, set[str]()), self.world.crashes > crashes or crashes % 2 == 1
        if crashed and (error.sqlstate is None or error.sqlstate[:3] in ("57P", "08P", "080")):
            return "the server crashed"
        if "terminated" in struck and error.sqlstate in (None, "57P01"):
            return "terminated"
        # COPY's own errors have no code.
        if "cancelled" in struck and "canceling statement due to user request" in str(error):
            return "cancelled"
        return self.excuse(error, step)

    def excuse(self, error: psycopg.Error, step: str) -> str:
        """What explains a failure that no fault does; for this kind of actor."""
        raise NotImplementedError


def ours(text: str) -> bool:
    """Whether a text of the server names something of ours."""
    return "entity_stats" in text or "lastKillTime" in text


def said(error: psycopg.Error) -> str:
    """All that the server says of an error."""
    diag = error.diag
    parts = (diag.message_primary, diag.message_detail, diag.context, diag.schema_name, diag.table_name)
    return " ".join(part for part in parts if part) or str(error)
