"""The specifications can fail: each fault in the protocol is caught by the one that docs/exactness.md names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fixtures.database import ROOT, Database
from tests.fixtures.worlds import Worlds
from tests.interleavings.mutants import MUTANTS, UNASKED, Mutant
from tests.interleavings.orders import run
from tests.interleavings.specifications import SPECIFICATIONS
from tests.site import test_site_changes


@contextmanager
def faulty(mutant: Mutant, database: Database) -> Iterator[None]:
    """Replace the function by its faulty copy, for a while.

    Raises:
        AssertionError: the function does not contain the text, or contains it more than once.
    """
    definition = str(database.value("select pg_get_functiondef(%s::regprocedure)", [mutant.function]))
    assert definition.count(mutant.text) == 1, f"{mutant.function} has changed:\n{definition}"
    database.execute(definition.replace(mutant.text, mutant.replacement))
    try:
        yield
    finally:
        database.execute(definition)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_caught(saved: Database, mutant: Mutant) -> None:
    with faulty(mutant, saved), pytest.raises(mutant.seen_as):
        run(SPECIFICATIONS[mutant.caught_by], saved)


def test_nothing_is_written_by_a_suspect_source(worlds: Worlds) -> None:
    """Killmails have slipped by, and ageing does not ask what has become of killmails."""
    with (
        worlds.ready() as database,
        faulty(UNASKED, database),
        pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"),
    ):
        test_site_changes.test_triggers_disabled_for_a_while(database, event_triggers=False)


def test_documented() -> None:
    """docs/exactness.md has this table."""
    rows = [f"| {mutant.name} | {mutant.caught_by} |" for mutant in [*MUTANTS, UNASKED]]
    table = "\n".join(["| fault | caught by |", "|---|---|", *rows])
    assert table in (ROOT / "docs" / "exactness.md").read_text(encoding="utf-8"), table
