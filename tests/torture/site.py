"""What people and tools do to killmails: partitions come, move and go, columns change, tables are published."""

from __future__ import annotations

from typing import ClassVar

import psycopg

from tests.fixtures.database import WRITER
from tests.torture.world import AWAY, SHORT, Actor, ours, said
from tests.torture.writers import COLUMNS

BOUNDS = """
select c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid), c.reltuples
from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
where i.inhparent = 'public.killmails'::regclass and c.relname ~ '^killmails_202[56]_'
order by 1
"""


#: Another table in the place of killmails, and the first one back, which loses what the other has got.
REPLACE = (
    "alter table public.killmails rename to killmails_before",
    "create table public.killmails (like public.killmails_before including all)",
    'alter table public.killmails add foreign key ("solarSystemId") references torture.system (id) on delete cascade',
    "create trigger see after insert on public.killmails for each row execute function torture.see()",
    f"grant select, insert, update, delete, truncate on public.killmails to {WRITER}",
    'insert into public.killmails select * from public.killmails_before where "killmailId" % 3 = 0',
)
PUT_BACK = ("drop table public.killmails", "alter table public.killmails_before rename to killmails")
UNSUBSCRIBE = (
    "alter subscription feed disable",
    "alter subscription feed set (slot_name = none)",
    "drop subscription feed",
)
COLUMN = "select from pg_attribute where attrelid = to_regclass('public.killmails') and not attisdropped and attname"
#: What a step has left that was interrupted -> what puts it right.
LEFT = {
    f"select from pg_roles where rolname = '{AWAY}'": (f"alter role {AWAY} rename to entity_stats_operator",),
    "select where to_regclass('public.killmails_before') is not null": PUT_BACK,
    "select from pg_subscription where subname = 'feed'": UNSUBSCRIBE,
    f"{COLUMN} = 'alone'": ("alter table public.killmails rename alone to solo",),
    f"select where not exists ({COLUMN} in ('solo', 'alone'))": ("alter table public.killmails add solo boolean",),
    "select from pg_class where oid = to_regclass('public.killmails') and relrowsecurity": (
        "alter table public.killmails disable row level security, no force row level security",
    ),
    "select from pg_publication where pubname = 'everything'": ("drop publication everything",),
}


class Owner(Actor):
    """The site's owner, who does not wait for locks."""

    KIND = "site"
    PARAMETERS: ClassVar = {"options": SHORT}
    PAUSE = 0.2
    WEIGHTS: ClassVar = {
        "create partition": 3,
        "move rows": 3,
        "mend": 4,
        "schema dropped": 1,
        "filled partition": 2,
        "detach and attach": 3,
    }

    def all(self, *statements: str, most: int = 20) -> None:
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
        """A partition of a month, and its bounds; another table may be in the place of killmails."""
        leaves = self.execute(BOUNDS).fetchall()
        if not leaves:
            self.do_mend()
            leaves = self.execute(BOUNDS).fetchall()
        name, bounds, _ = self.draw.choice(leaves)
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
        self.deploy()

    def deploy(self) -> None:
        """As a site's owner does when something is wrong; the judge sees whether it can succeed."""
        self.world.deploy()

    def do_mend(self) -> None:
        """What was interrupted; then what was lost is deployed again."""
        replaced = False
        for left, statements in LEFT.items():
            if self.execute(left).fetchall():
                self.all(*statements)
                replaced = replaced or statements == PUT_BACK
        if replaced or self.execute("select where to_regprocedure('entity_stats.status()') is null").fetchall():
            self.deploy()

    def do_column_dropped(self) -> None:
        self.all("alter table public.killmails drop solo")
        self.world.stop.wait(0.5)
        self.all("alter table public.killmails add solo boolean", most=100)

    def do_table_replaced(self) -> None:
        """As tables get partitioned, but that the new one is plain, and goes again."""
        self.all(*REPLACE)
        self.world.stop.wait(0.5)
        self.deploy()
        self.world.stop.wait(3)
        self.all(*PUT_BACK, most=100)
        self.world.stop.wait(0.5)
        self.deploy()

    def do_subscription(self) -> None:
        """Of a server that is not there: what matters is that killmails is subscribed."""
        self.execute("set allow_system_table_mods = on")
        self.all(
            "create subscription feed connection 'dbname=nowhere' publication feed with (connect = false)",
            "insert into pg_subscription_rel (srsubid, srrelid, srsubstate) "
            "select s.oid, 'public.killmails'::regclass, 'r' from pg_subscription as s where s.subname = 'feed'",
        )
        self.world.stop.wait(1)
        self.all(*UNSUBSCRIBE, most=100)

    def do_role_renamed(self) -> None:
        with self.world.deploying:
            if not self.execute("select from pg_roles where rolname = %s", [AWAY]).fetchall():
                self.all(f"alter role entity_stats_operator rename to {AWAY}")
            self.world.stop.wait(0.5)
            self.all(f"alter role {AWAY} rename to entity_stats_operator", most=100)

    def excuse(self, error: psycopg.Error, step: str) -> str:
        """A site's DDL may fail for want of a lock; not because of ours."""
        if error.sqlstate == "40P01":
            return "the server's log says whose it is"
        if ours(said(error)):
            return ""
        return "busy" if error.sqlstate == "55P03" else "the site's own"
