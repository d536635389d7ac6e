"""docs/read-api.md is what the catalog says, and its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import psycopg

from docs.read_api import PAGE, page
from tests.database import ROOT, Database


def examples(language: str) -> list[str]:
    """The page's code blocks in a language, without those of the reference."""
    text = PAGE.read_text().partition("## Functions")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_page_is_generated_from_the_catalog(site: Database) -> None:
    with psycopg.connect(site.conninfo) as session:
        assert page(session) == PAGE.read_text(), "run `make docs`"


def test_the_page_drifts_with_a_comment(site: Database) -> None:
    site.execute("comment on function public.is_stats_cache_populated() is 'Something else.'")
    with psycopg.connect(site.conninfo) as session:
        assert page(session) != PAGE.read_text()


def test_the_sql_examples_run(site: Database) -> None:
    statements = [line for block in examples("sql") for line in block.strip().splitlines()]
    assert len(statements) > 4
    for statement in statements:
        site.fetch(statement)


def test_the_python_example_runs(site: Database) -> None:
    [block] = examples("python")
    site.execute(
        'insert into public.killmails ("killmailId", "killmailTime", "topAttackerAllianceId") values (1, now(), 99003581)'
    )
    result = subprocess.run(
        [sys.executable, "-c", block],
        env={**os.environ, "DATABASE_URL": site.uri},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stderr, result.stdout) == ("", "1\n[1]\n")
