"""Write the generated pages of docs/: `make docs`.

docs/claims.md is from the comments of the checks, docs/read-api.md from those of the catalog, docs/performance.md and
its chart from docs/benchmarks/results.json.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psycopg

from benchmarks import report
from docs import claims, read_api
from local import CLONE, SAMPLE
from local.server import EmbeddedServer

DOCS = Path(__file__).resolve().parent


def generated(session: psycopg.Connection[tuple[str, ...]]) -> dict[Path, str]:
    """File to text, from a database with everything deployed and the world of the read API's examples."""
    results = report.kept(DOCS)
    return {
        DOCS / "claims.md": claims.page(),
        DOCS / "read-api.md": read_api.page(session),
        DOCS / "performance.md": report.page(results),
        DOCS / "benchmarks" / "write_path.svg": report.chart(results),
    }


def main() -> int:
    """Write all pages; returns the exit status."""
    with EmbeddedServer(durable=False) as server:
        for file in (SAMPLE, CLONE / "sql" / "deploy.sql"):
            done = server.psql("postgres", "--quiet", "--output", os.devnull, "-f", file)
            if done.returncode != 0:
                raise RuntimeError(f"{file} failed:\n{done.stderr}")
        with psycopg.connect(server.conninfo(), autocommit=True) as session:
            read_api.fill(session)
            for file, text in generated(session).items():
                file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
