"""What reads cost: all kinds interleaved by one reader, then those of pages by 8 readers while 50 killmails a second are written.

    python -m benchmarks.reads [KILLMAILS] [SECONDS] [--output FILE]     default: 5,000,000 and 60

Prints Markdown. Medians of kinds that ran side by side compare on a busy machine too; milliseconds do not.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import psycopg

from benchmarks import worlds
from benchmarks.measure import Figure, percentile99, pgbench
from local import SAMPLE
from local.server import EmbeddedServer
from tests.fixtures.database import SQL, Database

#: Readers, what they read per second (12,000 and 60,000 a minute), and killmails that arrive meanwhile, per second.
READERS, PACES, RATE = 8, (200, 1000), 50

#: Killmails of a day, as the game has them: the history is as long as that makes it.
DAILY = 12_000

#: Kind of read -> weight and script. The generator numbers characters by rank; every rank below 10,000 occurs.
CHARACTER = "\\set rank random(1, 10000)\n\\set id 90000000 + :rank * 3141593 % 7999993\n"
READS = {
    "raw lookup by primary key": (
        20,
        CHARACTER + 'select * from entity_stats_cache where "entityId" = :id and "entityType" = \'character\';',
    ),
    "get_entity_stats_from_cache": (
        20,
        CHARACTER + "select * from get_entity_stats_from_cache(:id, 'character', '30d');",
    ),
    "get_entity_stats": (20, CHARACTER + "select * from get_entity_stats(:id, 'character', '30d');"),
    "50 entities in one call": (
        4,
        "\\set rank random(1, 9950)\n"
        "select * from get_multiple_entity_stats_from_cache("
        "array(select 90000000 + n::bigint * 3141593 % 7999993 from generate_series(:rank, :rank + 49) as n), 'character', '30d');",
    ),
    "top 100 by kills, all-time": (2, "select * from get_top_entities_by_kills_from_cache('character', 'all', 100);"),
    "top 100 by kills, 14d": (2, "select * from get_top_entities_by_kills_from_cache('character', '14d', 100);"),
    "top 100 by efficiency, all-time": (
        2,
        "select * from get_top_entities_by_efficiency_from_cache('character', 'all', 10, 100);",
    ),
    "top 1000 by kills, 14d": (1, "select * from get_top_entities_by_kills_from_cache('character', '14d', 1000);"),
    "any window, 24 h": (2, CHARACTER + "select * from get_entity_stats_for_window(:id, 'character', '24 hours');"),
    "view, one character": (
        1,
        CHARACTER + "select * from character_stats where \"entityId\" = :id and period = '30d';",
    ),
    "summary": (1, "select * from get_stats_cache_summary();"),
}

#: What pages ask for all the time.
PAGES = list(READS)[:7]

WRITE = """\\set n random(1, 50000)
insert into killmails
select
    8000000000000000 + nextval('bench.id'), p."killmailTime", p."solarSystemId", p."victimCharacterId",
    p."victimCorporationId", p."victimAllianceId", p."victimShipTypeId", p."topAttackerCharacterId",
    p."topAttackerCorporationId", p."topAttackerAllianceId", p."topAttackerShipTypeId", p."totalValue",
    p."attackerCount", p.npc, p.solo, p.awox
from bench.pool as p
where p.n = :n;
"""


def build(server: EmbeddedServer, killmails: int) -> None:
    """Killmails, everything deployed, the cache ready."""
    _checked(server.psql("postgres", "--quiet", "-f", SAMPLE))
    with psycopg.connect(server.conninfo(), autocommit=True) as session:
        session.execute(
            "select sample.generate_killmails(%s, now() - %s * interval '24 hours', now())",
            [killmails, killmails / DAILY],
        )
    _checked(server.psql("postgres", "--quiet", "-f", SQL / "deploy.sql"))
    with psycopg.connect(server.conninfo(), autocommit=True) as session:
        session.execute("call entity_stats.backfill()")
        session.execute("vacuum analyze")
        session.execute("create schema bench; create sequence bench.id")
        session.execute(
            "create table bench.pool as select row_number() over () as n, k.* from sample.live_killmails(50000) as k"
        )
        session.execute("alter table bench.pool add primary key (n); analyze bench.pool")


def run(
    server: EmbeddedServer,
    folder: Path,
    kinds: Sequence[str],
    readers: int,
    seconds: int,
    pace: tuple[int, int] | None = None,
) -> dict[str, list[int]]:
    """Microseconds of every read, by kind, waiting included; pace: reads and killmails per second, else reads without pause."""
    scripts: list[str | Path] = []
    for number, (weight, script) in enumerate(READS[kind] for kind in kinds):
        file = folder / f"read{number}.sql"
        file.write_text(script + "\n")
        scripts += ["-f", f"{file}@{weight}"]
    (folder / "write.sql").write_text(WRITE)
    common: list[str | Path] = [server.bin / "pgbench", "-n", "-M", "prepared", "-T", str(seconds)]
    where = [server.conninfo()]
    writer = None
    rate: list[str] = []
    if pace:
        rate = ["-R", str(pace[0])]
        writer = subprocess.Popen(
            [*common, "-c", "2", "-R", str(pace[1]), "-f", folder / "write.sql", *where],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    prefix = folder / f"log{readers}at{pace[0] if pace else 0}"
    _checked(
        subprocess.run(
            [*common, "-c", str(readers), "-j", "2", *rate, "-l", f"--log-prefix={prefix}", *scripts, *where],
            capture_output=True,
            text=True,
            check=False,
        )
    )
    if writer:
        out, _ = writer.communicate()
        if writer.returncode != 0:
            raise RuntimeError(out)
    times: dict[str, list[int]] = defaultdict(list)
    for log in folder.glob(f"{prefix.name}.*"):
        for line in log.read_text().splitlines():
            fields = line.split()
            times[kinds[int(fields[3])]].append(int(fields[2]))
    return times


def table(alone: dict[str, list[int]], busy: dict[int, dict[str, list[int]]]) -> str:
    """Medians, their ratios to the first kind, and 99th percentiles, alone and by reads per second, as a Markdown table."""
    first = next(iter(READS))
    heads = ["read", "median, 1 reader", "x raw"]
    for pace in busy:
        heads += [f"median, {READERS} readers: {pace} reads/s beside {RATE} killmails/s", "x raw", "p99", "reads"]
    lines = [heads, ["---"] * len(heads)]
    for kind in READS:
        line = [kind, *_median(alone[kind], alone[first])]
        for times in busy.values():
            if kind in times:
                p99 = percentile99(times[kind])
                line += [*_median(times[kind], times[first]), f"{p99 / 1000:.2f} ms", f"{len(times[kind]):,}"]
            else:
                line += [""] * 4
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _median(times: list[int], raw: list[int]) -> tuple[str, str]:
    median = statistics.median(times)
    return f"{median / 1000:.3f} ms", f"{median / statistics.median(raw):.2f}"


def beside_the_raw_lookup(database: Database, seconds: float, rounds: int = 5) -> list[Figure]:
    """What the API's lookup of one entity adds to the bare lookup."""
    figure = Figure("read of one entity, 1 reader: median", "ms")
    names = {"raw lookup by primary key": "raw lookup", "get_entity_stats_from_cache": "ours"}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds + 1):
            for name in random.sample(list(names), len(names)):
                script = Path(folder) / f"{names[name]}.sql"
                script.write_text(READS[name][1])
                median = pgbench(database, script, 1, seconds).median
                if turn:  # the first round warms up
                    figure.values.setdefault(names[name], []).append(median)
    figure.values = {name: figure.values[name] for name in names.values()}
    return [figure]


def main(arguments: list[str]) -> int:
    """Build, measure, print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.reads", description=__doc__)
    parser.add_argument("killmails", type=int, nargs="?", default=5_000_000)
    parser.add_argument("seconds", type=int, nargs="?", default=60)
    parser.add_argument("--output", type=Path, help="write the Markdown to this file as well")
    given = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    settings = {"shared_buffers": "1GB", "maintenance_work_mem": "512MB", "autovacuum_naptime": "10s"}
    with worlds.server(settings, durable=False) as server, tempfile.TemporaryDirectory() as name:
        build(server, given.killmails)
        with psycopg.connect(server.conninfo()) as session:
            [version, entities, size] = session.execute(
                "select current_setting('server_version'), total, \"sizePretty\" from get_stats_cache_summary()"
            ).fetchone() or ("", 0, "")
        alone = run(server, Path(name), list(READS), 1, given.seconds)
        busy = {pace: run(server, Path(name), PAGES, READERS, given.seconds, (pace, RATE)) for pace in PACES}
    text = (
        f"{given.killmails:,} killmails of {given.killmails / DAILY:,.0f} days, {entities:,} entities, cache {size}; "
        f"PostgreSQL {version}, {os.cpu_count()} cores, {platform.machine()}, load before {load:.1f}, "
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}; pgbench with prepared statements.\n\n{table(alone, busy)}\n"
    )
    print(text)
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(text)
    return 0


def _checked(result: subprocess.CompletedProcess[str]) -> None:
    if result.returncode != 0:
        raise RuntimeError(result.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
