"""What the cache's operators run, readers read and DBAs do to its tables, all at once."""

from __future__ import annotations

from typing import ClassVar

import psycopg

from tests.database import SQL
from tests.sql.test_reads import everything
from tests.torture.world import Actor

#: Tables of ours, whatever they are called.
TABLES = """
select c.oid::regclass::text from pg_class as c
where c.relkind = 'r' and (c.relnamespace = to_regnamespace('entity_stats') or c.oid = to_regclass('public.entity_stats_cache'))
order by 1
"""


class Operator(Actor):
    """Ageing, rebuilds, recalculation, folds, deploys, vacuum."""

    KIND = "maintenance"
    PAUSE = 0.3
    WEIGHTS: ClassVar = {"age": 6, "recalculate": 6, "fold pending": 6, "vacuum": 2}

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
        self.execute("call entity_stats.repair((select max(r.run) from entity_stats.check_run as r))")

    def do_fold_pending(self) -> None:
        self.execute("call entity_stats.fold_pending()")

    def do_differences(self) -> None:
        self.execute("select count(*) from entity_stats.differences()")

    def do_deploy(self) -> None:
        self.world.database.psql("--quiet", "-f", SQL / "deploy.sql")

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

    def excuse(self, error: psycopg.Error, step: str) -> str:
        """Maintenance may fail, and is run again; the report has its failures."""
        return "maintenance"


class Reader(Actor):
    """Everything that can be read."""

    KIND = "reader"
    PAUSE = 0.05

    def do_read(self) -> None:
        self.execute(f"select * from {self.draw.choice(everything())}").fetchall()

    def do_status(self) -> None:
        self.execute("select * from entity_stats.status()")

    def excuse(self, error: psycopg.Error, step: str) -> str:
        """Reads fail while there is nothing to be read from."""
        return "reads"
