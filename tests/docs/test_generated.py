"""The generated pages are what their sources say; the examples of the read API run."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from docs.generate import generated
from docs.read_api import PAGE, fill, page, result
from tests.fixtures.database import Database, Databases


def examples(language: str) -> list[str]:
    """The page's code blocks in a language, without those of the reference."""
    text = PAGE.read_text().partition("## Functions")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def world(databases: Databases) -> Iterator[Database]:
    """The world of the page's examples."""
    with databases.site() as database:
        with database.connect() as session:
            fill(session)
        yield database


def test_the_generated_pages_are_up_to_date(world: Database) -> None:
    with world.connect() as session:
        outdated = [file.name for file, text in generated(session).items() if file.read_text() != text]
    assert outdated == [], "run `make docs`"


def test_the_page_drifts_with_a_comment_and_with_a_figure(world: Database) -> None:
    for change in (
        "comment on function public.is_stats_cache_populated() is 'Something else.'",
        """update public.entity_stats_cache set "kills30d" = "kills30d" + 1 where "entityId" = 99161803""",
    ):
        with world.connect(autocommit=False) as session:
            session.execute(change.encode())
            assert page(session) != PAGE.read_text()
            session.rollback()


def test_an_example_that_answers_nothing_is_refused(world: Database) -> None:
    with world.connect() as session, pytest.raises(RuntimeError, match="answers nothing"):
        result(session, "sql", "select * from get_entity_stats(424242, 'alliance')")
    with world.connect() as session, pytest.raises(RuntimeError, match="1 / 0"):
        result(session, "python", "1 / 0")


def test_the_sql_examples_run(site: Database) -> None:
    statements = [line for block in examples("sql") for line in block.strip().splitlines()]
    assert len(statements) > 4
    for statement in statements:
        site.fetch(statement)
