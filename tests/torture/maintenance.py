"""What the cache's operators run, readers read and DBAs do to its tables, all at once."""

from __future__ import annotations

import os
import re
import subprocess
from typing import ClassVar

import psycopg

from tests.fixtures.database import HISTORY_ORACLE, SQL
from tests.sql.reads.test_reads import everything
from tests.torture.world import Actor
from tests.torture.writers import ALTERING

#: What differs between two of the same message.
NUMBERS = re.compile(r" \S*\d\S*")

#: Tables of ours, whatever they are called.
TABLES = """
select c.oid::regclass::text from pg_class as c
where c.relkind = 'r' and (c.relnamespace = to_regnamespace('entity_stats') or c.oid = to_regclass('public.entity_stats_cache'))
order by 1
"""


class Caller(Actor):
    """Calls the cache's own functions."""

    def excuse(self, error: psycopg.Error, step: str) -> str:
        """What is refused, or not to be had now, is run again; what the site's DDL takes away is missed."""
        state, message = error.sqlstate or "", error.diag.message_primary or ""
        begun = self.world.begun
        if state == "40P01":
            return "the server's log says whose it is"
        if state in ("55000", "42P16"):
            return f"refused: {NUMBERS.sub('', message)}"
        if state == "55P03":
            return "busy"
        if state == "53400" and step == "short of files":
            return "short of files"
        if "cached plan must not change result type" in message:
            return "deployed, or the table was changed"
        if "schema dropped" in begun:
            return "the schema was dropped"
        if state in ("42703", "42804") and begun & ALTERING:
            return "a column was changed"
        if state == "42P01" and begun & {"table replaced"}:
            return "the table was away"
        if state == "42704" and begun & {"role renamed"}:
            return "the role was away"
        return ""


class Operator(Caller):
    """Ageing, rebuilds, recalculation, folds, the history, deploys, vacuum."""

    KIND = "maintenance"
    PAUSE = 0.3
    WEIGHTS: ClassVar = {
        "heal": 6,
        "age": 6,
        "recalculate": 6,
        "fold pending": 6,
        "close history": 6,
        "recount month": 3,
        "judge": 3,
        "vacuum": 2,
    }

    def look(self) -> str:
        """What the cache says of itself."""
        [(status, reason)] = self.execute("select s.status, s.reason from entity_stats.status() as s").fetchall()
        self.world.notice(status, reason)
        return str(status)

    def do_heal(self) -> None:
        """What the DAGs do with a cache that is not ready."""
        if self.look() != "ready":
            self.execute("call entity_stats.look_at_source()")
            if self.look() != "ready":
                self.execute("call entity_stats.backfill()")

    def do_age(self) -> None:
        days = self.draw.choice([0.1, 0.5, 2, 5])
        self.execute(
            """select set_config('torture.as_of', least(s."asOf" + %s * interval '1 day', now())::text, false) from entity_stats.status() as s""",
            [days],
        )
        [row] = self.execute("select current_setting('torture.as_of')").fetchall()
        if row[0]:
            self.execute("call entity_stats.age_windows(as_of => %s)", [row[0]])

    def do_rebuild(self) -> None:
        self.look()
        days = self.draw.randint(50, 200)
        self.execute("call entity_stats.backfill(as_of => now() - %s * interval '1 day', rebuild => true)", [days])

    def do_recalculate(self) -> None:
        kind = self.draw.choice(["character", "corporation", "alliance"])
        for _ in range(self.draw.randint(1, 5)):
            self.execute("select entity_stats.recalculate(%s, %s)", [self.draw.randint(1, 12), kind])

    def do_recalculate_active(self) -> None:
        self.execute("call entity_stats.recalculate_active()")

    def do_repair(self) -> None:
        """Of what the last verification has found."""
        [(run,)] = self.execute("select max(r.run) from entity_stats.check_run as r").fetchall()
        if run:
            self.execute("call entity_stats.repair(%s)", [run])

    def do_check(self) -> None:
        """Claims that do not hold are for the repair; the judge has his own."""
        self.world.database.psql("--quiet", "-f", SQL / "check.sql")

    def do_fold_pending(self) -> None:
        self.execute("call entity_stats.fold_pending()")

    def do_close_history(self) -> None:
        if self.draw.random() < 0.2:
            self.execute('update entity_stats.history set "keepDays" = %s', [self.draw.choice([40, 100, 400])])
        self.execute(
            "call entity_stats.fill_history(now() - %s * interval '1 day')", [self.draw.choice([90, 40, 10, 3, 1, 0])]
        )

    def do_recount_month(self) -> None:
        self.execute(
            "select entity_stats.recount_month((now() - %s * interval '1 month')::date)", [self.draw.randint(0, 12)]
        )

    def do_drop_history(self) -> None:
        if not self.world.calm.is_set():
            self.execute("call entity_stats.drop_history()")

    def do_differences(self) -> None:
        """Where the cache is ready there are none at any moment; one statement, one snapshot."""
        self.none("select * from entity_stats.differences()")

    def do_judge(self) -> None:
        """The history and the all-time figures, with what is late and pending, in the midst of it all."""
        self.none(HISTORY_ORACLE.read_text().rstrip().removesuffix(";"))

    def none(self, query: str) -> None:
        """The query has no row, unless the cache is not ready."""
        with self.session.transaction():
            self.execute("lock table public.killmails in access share mode")  # or it is replaced between the two
            [(status, rows, first)] = self.execute(
                f"""
                with found as materialized (select f.* from ({query}) as f)
                select s.status, (select count(*) from found), (select jsonb_agg(f) from (select * from found limit 3) as f)
                from entity_stats.status() as s
                """
            ).fetchall()
        if status == "ready":
            self.world.tally.add("judgement", "amid the load")
            if rows:
                self.world.find(f"amid the load {rows} rows are wrong: {first}")

    def do_deploy(self) -> None:
        self.world.deploy()

    def do_dump(self) -> None:
        """It may fail: the site's DDL drops what it is about to read."""
        server = self.world.server
        subprocess.run(
            [server.bin / "pg_dump", "-d", self.world.database.conninfo, "--lock-wait-timeout=1s", "-f", os.devnull],
            capture_output=True,
            check=False,
        )

    def do_guard(self) -> None:
        self.execute("call entity_stats.guard_killmails(patience => '2 seconds')")

    def do_vacuum(self) -> None:
        self.execute(f"vacuum (analyze) {self.table()}")

    def do_vacuum_full(self) -> None:
        self.execute(f"vacuum full {self.table()}")

    def do_reindex(self) -> None:
        self.execute(f"reindex table {self.table()}")

    def do_short_of_files(self) -> None:
        """A rebuild or a recalculation that runs out of temporary files: it fails, and nothing else does."""
        self.execute("set temp_file_limit = '64kB'")
        self.execute("set work_mem = '64kB'")
        try:
            self.execute("call entity_stats.recalculate_active()")
        finally:
            if not self.session.closed:
                self.execute("reset all")

    def table(self) -> str:
        """One of ours."""
        return str(self.draw.choice(self.execute(TABLES).fetchall() or [("pg_catalog.pg_class",)])[0])


class Reader(Caller):
    """Everything that can be read."""

    KIND = "reader"
    PAUSE = 0.05

    def do_read(self) -> None:
        # As text: there are times that Python has no value for.
        self.execute(f"select t::text from {self.draw.choice(everything())} as t").fetchall()

    def do_status(self) -> None:
        [(status, reason)] = self.execute("select s.status, s.reason from entity_stats.status() as s").fetchall()
        self.world.notice(status, reason)
