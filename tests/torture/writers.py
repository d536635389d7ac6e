"""Writers of killmails in every way that a client has, each of its own killmails, so that they never fail one another."""

from __future__ import annotations

import re
from collections import deque
from typing import Any, ClassVar

import psycopg

from tests.fixtures.database import WRITER
from tests.torture.world import NOBODY, Actor, World, ours, said

COLUMNS = (
    '"killmailId", "killmailTime", "solarSystemId", "victimCharacterId", "victimCorporationId", "victimAllianceId", '
    '"victimShipTypeId", "topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId", '
    '"topAttackerShipTypeId", "totalValue", "attackerCount", npc, solo, awox'
)
#: A writer's killmails of one seed, and how it calls them in other statements.
NEW = f"insert into public.killmails ({COLUMNS}) select * from torture.killmails(%(me)s, %(rows)s, %(seed)s)"
MINE = '"killmailId" between 1000000 * %(old)s::bigint + %(low)s and 1000000 * %(old)s::bigint + %(low)s + %(rows)s'

#: Statements of killmails that no other writer has. `rows` at most 60; `old` is a seed that was written before.
STATEMENTS = {
    "insert": NEW,
    "insert young": NEW.replace("%(seed)s)", "%(seed)s, '20 days')"),
    "insert one": NEW.replace("%(rows)s", "1"),
    "insert bulk": NEW.replace("%(rows)s", "%(rows)s * 15"),
    "do nothing": NEW.replace("%(seed)s", "%(old)s") + " on conflict do nothing",
    "do update": NEW.replace("%(seed)s", "%(old)s")
    + ' on conflict ("killmailId", "killmailTime") do update set "totalValue" = excluded."totalValue" + %(draw)s, npc = not excluded.npc',
    "merge": f"""
        merge into public.killmails as k
        using (
            select * from torture.killmails(%(me)s, %(rows)s, %(old)s)
            union all
            select * from torture.killmails(%(me)s, %(rows)s, %(seed)s)
        ) as n
        on k."killmailId" = n."killmailId" and k."killmailTime" = n."killmailTime"
        when matched and k."killmailId" %% 5 = 0 then delete
        when matched then update set "totalValue" = %(draw)s, "victimAllianceId" = n."topAttackerAllianceId"
        when not matched then insert ({COLUMNS}) values ({", ".join("n." + name for name in COLUMNS.split(", "))})
    """,
    "price": f'update public.killmails set "totalValue" = %(draw)s / 1000.0 where {MINE}',
    "unchanged": f'update public.killmails set "attackerCount" = %(draw)s where {MINE}',
    "flags": f"update public.killmails set solo = npc, npc = not solo where {MINE}",
    "time": f'update public.killmails set "killmailTime" = "killmailTime" - (%(draw)s %% 90) * interval \'1 day\' where {MINE}',
    "time back": f'update public.killmails set "killmailTime" = "killmailTime" + (%(draw)s %% 90) * interval \'1 day\' where {MINE}',
    "id": f'update public.killmails set "killmailId" = "killmailId" + 500000 where {MINE}',
    "parties": f"""
        update public.killmails
        set "victimCharacterId" = "topAttackerCharacterId", "topAttackerAllianceId" = "victimAllianceId" where {MINE}
    """,
    "delete": f"delete from public.killmails where {MINE}",
    "delete newest": f"""
        delete from public.killmails as k using (
            select max(m."killmailTime") as at from public.killmails as m where {MINE}
        ) as newest
        where k."killmailTime" = newest.at and {MINE}
    """,
    "cascade": "delete from torture.system where id = 100 * %(me)s + %(draw)s %% 100",
}
#: The site's steps that change columns of killmails.
ALTERING = {"column added", "column renamed", "column dropped", "column type", "table replaced"}
#: A timeout that struck before is noticed where a function begins: before its block that lets nothing out.
ENTERED = re.compile(r"PL/pgSQL function \S+ line \d+ at statement block(\n|$)")
LEVELS = ("read committed", "read committed", "read committed", "repeatable read", "serializable")


class Writer(Actor):
    """One session that may only write killmails."""

    KIND = "writer"
    PARAMETERS: ClassVar = {"user": WRITER}
    WEIGHTS: ClassVar = {
        "transaction": 60,
        "autocommit": 25,
        "copy": 8,
        "leaf load": 8,
        "prepared": 6,
        "timeouts": 6,
        "shared": 6,
        "abandoned": 3,
        "huge ids": 2,
        "deferred unique": 8,
        "read only": 3,
        "immediate twice": 3,
    }
    PAUSE = 0.05

    def __init__(self, world: World, number: int, seed: str, first: int) -> None:
        super().__init__(world, number, seed)
        #: Seeds of killmails: this writer's are those that leave its number when divided by 100.
        self.seed = 100 * first + number
        self.seeds = deque([self.seed], maxlen=40)
        #: A bulk load of the temporary files' size costs seconds: once a round.
        self.steps_once = {"temporary files"}
        #: Isolation level of the last transaction that was begun.
        self.level = ""

    def arguments(self) -> dict[str, Any]:
        """What a statement is told; new killmails each time."""
        self.seed += 100
        old = self.draw.choice(self.seeds)
        self.seeds.append(self.seed)
        rows = self.draw.choice([1, 1, 2, 5, 20, 60])
        return {
            "me": self.number,
            "seed": self.seed,
            "old": old,
            "rows": rows,
            "low": self.draw.randint(1, 60),
            "draw": self.draw.randint(0, 10**9),
        }

    def write(self, *names: str) -> None:
        """One statement, drawn."""
        name = self.draw.choice(names or ("insert", "insert", "insert young", *STATEMENTS))
        arguments = self.arguments()
        self.execute(STATEMENTS[name], arguments)
        if name == "cascade":
            self.execute(
                "insert into torture.system select 100 * %(me)s::bigint + %(draw)s %% 100 on conflict do nothing",
                arguments,
            )

    def begin(self, level: str = "read committed") -> None:
        """Open a transaction; now and then one whose facts are left to others."""
        self.level = level
        self.execute(f"begin isolation level {level}")
        if self.draw.random() < 0.1:
            self.execute("set local entity_stats.fold = 'deferred'")

    def do_transaction(self) -> None:
        """Several statements, some of them in a savepoint that is rolled back, some of them again after it."""
        self.begin(self.draw.choice(LEVELS))
        for _ in range(self.draw.randint(1, 4)):
            if self.draw.random() < 0.25:
                self.execute("savepoint s")
                self.write()
                self.execute("rollback to savepoint s" if self.draw.random() < 0.6 else "release savepoint s")
            else:
                self.write()
        self.execute("rollback" if self.draw.random() < 0.1 else "commit")

    def do_autocommit(self) -> None:
        self.write(*(name for name in STATEMENTS if name != "cascade"))

    def do_copy(self) -> None:
        query = "copy (select * from torture.killmails(%(me)s, %(rows)s, %(seed)s)) to stdout"
        with self.session.cursor().copy(query.encode(), self.arguments()) as copy:
            text = b"".join(bytes(piece) for piece in copy)
        with self.session.cursor().copy(f"copy public.killmails ({COLUMNS}) from stdin") as copy:
            copy.write(text)

    def do_leaf_load(self) -> None:
        """Straight into a partition, by the name that the site's partitions of that month have."""
        arguments = self.arguments()
        rows = self.execute(
            "select to_char(k.\"killmailTime\" at time zone 'UTC', 'YYYY_MM'), count(*) "
            "from torture.killmails(%(me)s, %(rows)s, %(seed)s) as k group by 1 order by 2 desc, 1 limit 1",
            arguments,
        ).fetchall()
        month = rows[0][0]
        self.execute(
            NEW.replace("public.killmails", f"public.killmails_{month}")
            + f" as k where to_char(k.\"killmailTime\" at time zone 'UTC', 'YYYY_MM') = '{month}'",
            arguments,
        )

    def apart(self) -> None:
        """Killmails that nobody touches again, for a transaction that may stay open when its session is gone."""
        arguments = self.arguments()
        self.seeds.pop()
        self.execute(STATEMENTS["insert"], {**arguments, "me": NOBODY})

    def do_prepared(self) -> None:
        """In two phases, the second of some of them later; a fault leaves some for the judge to find."""
        gid = f"{self.number} {self.seed}"
        self.begin()
        self.apart()
        self.apart()
        self.execute(f"prepare transaction '{gid}'")
        if self.draw.random() < 0.1:
            self.world.stop.wait(1)
        self.execute(f"{self.draw.choice(['commit', 'commit', 'rollback'])} prepared '{gid}'")

    def do_timeouts(self) -> None:
        """A session that is short of patience."""
        self.begin()
        name = self.draw.choice(["lock_timeout", "statement_timeout"])
        self.execute(f"set local {name} = {self.draw.choice([5, 20, 100])}")
        self.write("insert", "insert bulk", "price", "delete")
        self.execute("commit")

    def do_shared(self) -> None:
        """Killmails of everybody, in one order, in a transaction of their own."""
        self.execute(
            """
            update public.killmails as k set "totalValue" = %(draw)s, npc = not k.npc
            from (
                select s."killmailId", s."killmailTime" from public.killmails as s
                where s."killmailId" between 1000001 and 1000400 and s."killmailId" %% 40 = %(low)s %% 40
                order by s."killmailId", s."killmailTime" for update
            ) as s
            where k."killmailId" = s."killmailId" and k."killmailTime" = s."killmailTime"
            """,
            self.arguments(),
        )

    def do_abandoned(self) -> None:
        """A client that goes away in mid-transaction."""
        self.begin()
        self.write()
        self.session.close()

    def do_read_only(self) -> None:
        self.begin()
        self.write("insert", "price", "delete")
        self.execute("set transaction read only")
        self.execute("commit")

    def do_immediate_twice(self) -> None:
        self.begin()
        self.execute("set constraints all immediate")
        self.apart()
        self.apart()
        self.execute("set constraints all immediate")
        self.apart()
        if self.draw.random() < 0.3:
            gid = f"{self.number} {self.seed}"
            self.execute(f"prepare transaction '{gid}'")
            self.execute(f"commit prepared '{gid}'")
        else:
            self.execute("commit")

    def do_deferred_unique(self) -> None:
        """Gets its slot by the site's deferred trigger, or holds another writer's for a while and gives it back."""
        self.begin()
        if self.draw.random() < 0.5:
            self.execute(f"set local torture.slot = {self.number}")
            self.execute(f"delete from torture.note where slot = {self.number}")
            self.write("insert one")
        else:
            slot = self.draw.randrange(self.world.clients)
            self.execute(f"insert into torture.note values ({slot})")
            self.write("insert")
            self.execute(f"delete from torture.note where slot = {slot} and xmin = pg_current_xact_id()::xid")
        self.execute("commit")

    def do_settings(self) -> None:
        """All of ours that has a name: what is true must not hang on them."""
        self.begin()
        for name in ("parked", "due", "ticket", "xid", "folding", "capture", "postponed"):
            value = self.draw.choice(["", "0", "off", "on", "true", "42", "x"])
            try:
                self.execute("savepoint s")
                self.execute(f"set local entity_stats.{name} = '{value}'")
                self.execute("release savepoint s")
            except psycopg.errors.Error:  # a reserved name is fine, too
                self.execute("rollback to savepoint s")
        self.write()
        self.execute("commit")

    def do_huge_ids(self) -> None:
        self.execute(
            f'update public.killmails set "victimCharacterId" = 9223372036854775807, "topAttackerCharacterId" = 9223372036854775806 where {MINE}',
            self.arguments(),
        )

    def do_odd_times(self) -> None:
        times = [
            "now() + interval '3 days'",
            "'infinity'",
            "'294276-12-31 23:59:59+00'",
            "\"killmailTime\" + interval '1 second'",
        ]
        self.execute(
            f'update public.killmails set "killmailTime" = {self.draw.choice(times)} where {MINE}'
            if self.draw.random() < 0.7
            else f'insert into public.killmails ({COLUMNS}) select "killmailId", "killmailTime" + interval \'1 hour\', '
            f"{', '.join(COLUMNS.split(', ')[2:])} from public.killmails where {MINE} on conflict do nothing",
            self.arguments(),
        )

    def do_temporary_files(self) -> None:
        if self.number or not self.steps_once:
            return
        self.steps_once.clear()
        self.begin()
        self.execute("set local temp_file_limit = '4MB'")
        self.execute("set local work_mem = '64kB'")
        # The site's own deferred trigger queues an event per row, in memory.
        arguments = self.arguments()
        self.execute(
            f"""
            insert into public.killmails ({COLUMNS})
            select 1000000 * %(seed)s::bigint + n, now() - n * interval '1 minute', 100 * %(me)s, 1 + n %% 12, 1 + n %% 6, null, 670,
                1 + n %% 11, 1 + n %% 5, 1 + n %% 3, 587, n, 1, false, false, false
            from generate_series(1, 60000) as n
            """,
            arguments,
        )
        self.execute("commit")

    def excuse(self, error: psycopg.Error, step: str) -> str:
        """What would have failed without the cache as well. What names something of ours would not."""
        state, message, text = error.sqlstate or "", error.diag.message_primary or "", said(error)
        begun = self.world.begun
        if state == "40P01":
            return "the server's log says whose it is"
        if step == "timeouts" and state == "57014" and ENTERED.match(error.diag.context or ""):
            return "its own timeout, noticed as ours was called"
        if ours(text):
            return ""
        if step == "timeouts" and re.match("canceling statement due to (lock|statement) timeout", message):
            return "its own timeout"
        if "moved to another partition due to concurrent update" in message:
            return "a row that another one moved"
        if state == "40001" and step == "transaction" and self.level == "serializable":
            return "isolation: nobody else touches its killmails, but pages are locked"
        if (
            message == "could not serialize access due to concurrent update"
            and not error.diag.context
            and self.level == "repeatable read"
            and begun & ALTERING
        ):
            return "isolation: ON CONFLICT meets killmails that were rewritten after its snapshot"
        if (
            state == "40001"
            and self.level != "read committed"
            and re.match(r'SQL statement "DELETE FROM (ONLY )?"public"\."killmails"', error.diag.context or "")
        ):
            return "isolation: a cascade reaches killmails that another one has changed"
        if state == "42P01" and step == "leaf load" and re.match(r'relation "public\.killmails_\d{4}_\d\d" ', message):
            return "the partition was gone"
        if state == "23505" and (error.diag.table_name or "").startswith("killmails"):
            return "a killmail with the same key"
        if (
            state == "23514"
            and "partition constraint" in message
            and (error.diag.table_name or "").startswith("killmails")
        ):
            return "the partition was changed"
        if state == "42703" and '"solo"' in message and begun & {"column renamed", "column dropped"}:
            return "the column was gone"
        if "COPY FROM not supported with row-level security" in message and "row security" in begun:
            return "the site's policy"
        if "cached plan must not change result type" in message and begun & ALTERING:
            return "the table was changed"
        if state == "XX000" and message.startswith("cache lookup failed for publication") and "publication" in begun:
            return "a publication was dropped"
        return ""
