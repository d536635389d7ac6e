"""What people and tools do to killmails: partitions come, move and go, columns change, tables are published."""

from __future__ import annotations

from typing import ClassVar

import psycopg

from tests.database import SQL, WRITER
from tests.torture.world import SHORT, Actor, ours
from tests.torture.writers import COLUMNS

BOUNDS = """
select c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid), c.reltuples
from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
where i.inhparent = 'public.killmails'::regclass and c.relname ~ '^killmails_202[56]_'
order by 1
"""


class Owner(Actor):
    """The site's owner, who does not wait for locks."""

    KIND = "site"
    PARAMETERS: ClassVar = {"options": SHORT}
    PAUSE = 0.5
    WEIGHTS: ClassVar = {
        "create partition": 3,
        "move rows": 3,
        "schema dropped": 1,
        "filled partition": 2,
        "detach and attach": 3,
    }

    def all(self, *statements: str, most: int = 10) -> None:
        """Statements in one transaction, tried again when a lock was not to be had, as people do."""
        for tries in range(most):
            try:
                with self.session.transaction():
                    for statement in statements:
                        self.execute(statement)
                return
            except psycopg.errors.LockNotAvailable:
                if tries + 1 == most or self.world.stop.is_set():
                    raise
                self.world.stop.wait(self.draw.uniform(0, 0.3))

    def leaf(self) -> tuple[str, str]:
        """A partition of a month, and its bounds."""
        name, bounds, _ = self.draw.choice(self.execute(BOUNDS).fetchall())
        return str(name), str(bounds)

    def hour(self) -> tuple[str, str, str]:
        """A name and bounds of an hour that has no partition: long ago, where the default has rows only of ours."""
        number = self.draw.randrange(10**6)
        low = f"'2006-01-01 00:00:00+00'::timestamptz - {number} * interval '1 hour'"
        [row] = self.execute(f"select ({low})::text, ({low} + interval '1 hour')::text").fetchall()
        return f"public.killmails_hour_{number}", row[0], row[1]

    def create(self, name: str, low: str, high: str) -> list[str]:
        return [
            f"create table {name} partition of public.killmails for values from ('{low}') to ('{high}')",
            f"grant select, insert, update, delete, truncate on {name} to {WRITER}",
        ]

    def insert(self, table: str, at: str, rows: int = 20) -> str:
        """An INSERT of rows at a time, of ids that nobody else has and that the site's trigger leaves alone."""
        first = 7 * 10**16 + self.draw.randrange(10**12) * 7000
        return (
            f'insert into {table} ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCorporationId", "totalValue") '
            f"select {first} + 7 * n + 1, '{at}', 1 + n % 12, 1 + n % 6, n from generate_series(1, {rows}) as n"
        )

    def do_create_partition(self) -> None:
        """Empty, then with rows, then gone again, empty."""
        name, low, high = self.hour()
        self.all(*self.create(name, low, high))
        self.all(self.insert("public.killmails", low))
        self.all(f"delete from public.killmails where \"killmailTime\" >= '{low}' and \"killmailTime\" < '{high}'")
        self.all(f"drop table {name}")

    def do_loaded_partition(self) -> None:
        name, low, high = self.hour()
        self.all(*self.create(name, low, high))
        self.all(self.insert(name, low))

    def do_move_rows(self) -> None:
        """From the default partition into one of their own: the rows stay, so they are not counted again."""
        name, low, high = self.hour()
        where = f"\"killmailTime\" >= '{low}' and \"killmailTime\" < '{high}'"
        self.all(self.insert("public.killmails", low))
        self.all(
            "set local entity_stats.capture = 'off'",
            "lock table public.killmails in access exclusive mode",
            f"create temporary table moved on commit drop as select * from public.killmails_default where {where}",
            f"delete from public.killmails_default where {where}",
            *self.create(name, low, high),
            f"insert into {name} ({COLUMNS}) select {COLUMNS} from moved",
        )

    def do_filled_partition(self) -> None:
        """The same as partition managers do it, who know nothing of us."""
        name, low, high = self.hour()
        where = f"\"killmailTime\" >= '{low}' and \"killmailTime\" < '{high}'"
        self.all(self.insert("public.killmails", low, 40))
        self.all(
            f"create temporary table moved on commit drop as select * from public.killmails_default where {where}",
            f"delete from public.killmails_default where {where}",
            *self.create(name, low, high),
            f"insert into {name} ({COLUMNS}) select {COLUMNS} from moved",
        )

    def do_detach_and_attach(self) -> None:
        """A populated partition is away for a while; then it comes back, or is dropped."""
        name, low, high = self.hour()
        self.all(*self.create(name, low, high))
        self.all(self.insert("public.killmails", low))
        self.all(f"alter table public.killmails detach partition {name}")
        if self.draw.random() < 0.7:
            self.all(self.insert(name, low, 5))
            self.all(f"alter table public.killmails attach partition {name} for values from ('{low}') to ('{high}')")
        self.all(f"drop table {name}")

    def do_truncate(self) -> None:
        name, low, high = self.hour()
        self.all(*self.create(name, low, high))
        self.all(self.insert("public.killmails", low))
        self.all(f"truncate {name}")
        self.all(f"drop table {name}")

    def do_publication(self) -> None:
        """Published for as long as a round of it lasts, and a little later again."""
        self.execute("drop publication if exists everything")
        self.execute("create publication everything for all tables")
        self.world.stop.wait(3)
        self.execute("drop publication everything")

    def do_column_added(self) -> None:
        name = self.draw.choice(["sign", "part", "xid", "period", "side", "fact", "isk", "facts", "folded", "cutoff"])
        self.all(f"alter table public.killmails add column if not exists {name} integer")
        self.world.stop.wait(1)
        self.all(f"alter table public.killmails drop column {name}")

    def do_column_renamed(self) -> None:
        self.all("alter table public.killmails rename solo to alone")
        self.world.stop.wait(0.5)
        self.all("alter table public.killmails rename alone to solo", most=100)

    def do_column_type(self) -> None:
        kind = self.draw.choice(["numeric", "double precision", "real"])
        self.all(f'alter table public.killmails alter column "totalValue" type {kind}')

    def do_row_security(self) -> None:
        self.all(
            "drop policy if exists young on public.killmails",
            "drop policy if exists writes on public.killmails",
            "create policy young on public.killmails for select using (\"killmailTime\" < now() - interval '1 hour')",
            f"create policy writes on public.killmails for all to {WRITER} using (true)",
            "alter table public.killmails enable row level security, force row level security",
        )
        self.world.stop.wait(1)
        self.all(
            "alter table public.killmails disable row level security, no force row level security",
            "drop policy young on public.killmails",
            "drop policy writes on public.killmails",
            most=100,
        )

    def do_triggers_disabled(self) -> None:
        name, _ = self.leaf()
        [row] = self.execute(f'select max("killmailTime")::text from {name}').fetchall()
        if row[0]:
            self.all(
                f"alter table {name} disable trigger all",
                self.insert(name, row[0], 5),
                f"alter table {name} enable trigger all",
            )

    def do_schema_dropped(self) -> None:
        self.all("drop schema entity_stats cascade")
        self.world.stop.wait(0.5)
        self.world.database.psql("--quiet", "-f", SQL / "deploy.sql")

    def excuse(self, error: psycopg.Error, step: str) -> str:
        """A site's DDL may fail for want of a lock; not because of ours."""
        text = f"{error.diag.message_primary} {error.diag.message_detail} {error.diag.context}"
        if error.sqlstate in ("55P03", "57014", "40P01"):
            return "busy"
        return "" if ours(text) else "the site's own"
