"""New prices for all killmails, by the runbook's recipe: with the cache, without it, and what its fold takes.

    python -m benchmarks.repricing [KILLMAILS] [--output FOLDER]     default: 1,000,000

Adds its figures to the results that `make bench` has left in the folder.
"""

from __future__ import annotations

import argparse
import re
import sys
from functools import partial
from pathlib import Path

from benchmarks import filling, report
from benchmarks.measure import Figure, seconds, wal
from benchmarks.worlds import Bench, assert_exact
from local.server import EmbeddedServer
from tests.fixtures.database import ROOT, Database


def recipe() -> str:
    """The runbook's statements up to the fold, which is measured by itself."""
    _, _, section = (ROOT / "docs" / "runbook.md").read_text().partition("\n### New prices for all killmails\n")
    [block] = re.findall(r"^```sql\n(.*?)^```", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    update, reset, _ = block.partition("\nreset entity_stats.fold;")
    if not reset:
        raise RuntimeError("the runbook's recipe does not end with: reset entity_stats.fold")
    return str(update)


def reprice(database: Database) -> None:
    """Run it as an operator does.

    Raises:
        RuntimeError: psql failed.
    """
    done = database.psql("--quiet", input=recipe())
    if done.returncode != 0:
        raise RuntimeError(f"repricing failed:\n{done.stderr}")


def repricing(server: EmbeddedServer, rows: int) -> list[Figure]:
    """Throughput beside a table without triggers, the ledger at its largest, the fold; raises if the cache is not exact."""
    bench = Bench(server, rows, 1000)
    [make, fill] = filling.VARIANTS["ours"]
    ours = make(bench)
    fill(ours)
    ours.execute("vacuum analyze")
    what = f"repricing of {rows:,} killmails"
    throughput = Figure(what, "killmails/s")
    written = Figure(f"{what}: WAL per killmail", "bytes")
    for name, database in (("floor", bench.clone("floor")), ("ours", ours)):
        position = wal(database)
        throughput.values[name] = [rows / seconds(partial(reprice, database))]
        written.values[name] = [(wal(database) - position) / rows]
    pending = ours.value("select s.pending from entity_stats.status() as s")
    if pending < 0.9 * rows:
        raise RuntimeError(f"only {pending} of {rows} killmails are pending: the fold was not put off")
    ledger = Figure(f"{what}: ledger with its index before the fold", "MB")
    ledger.values["ours"] = [ours.value("select pg_total_relation_size('entity_stats.ledger') / 1e6::float8")]
    fold = Figure(f"{what}: fold_pending()", "s")
    fold.values["ours"] = [seconds(partial(ours.execute, "call entity_stats.fold_pending()"))]
    assert_exact(ours)
    ours.close()
    return [throughput, written, ledger, fold]


def main(arguments: list[str]) -> int:
    """Build, measure, add to the results; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.repricing", description=__doc__)
    parser.add_argument("killmails", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--output", type=Path, default=report.DOCS, help="folder of performance.md and benchmarks/")
    given = parser.parse_args(arguments)
    begun = report.moment()
    with EmbeddedServer(settings=report.SETTINGS) as server:
        figures = repricing(server, given.killmails)
    report.add(figures, given.output, "repricing", begun, "fsync on")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
