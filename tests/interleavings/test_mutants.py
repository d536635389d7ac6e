"""The specifications can fail: each fault in the protocol is caught by the one that docs/exactness.md names."""

from __future__ import annotations

import pytest

from tests.database import ROOT, Database
from tests.interleavings.mutants import MUTANTS, Mutant
from tests.interleavings.specification import run
from tests.interleavings.specifications import SPECIFICATIONS
from tests.invariants.world import Worlds


def apply(mutant: Mutant, database: Database) -> None:
    """Replace the function by its faulty copy.

    Raises:
        AssertionError: the function does not contain the text, or contains it more than once.
    """
    definition = str(database.value("select pg_get_functiondef(%s::regprocedure)", [mutant.function]))
    assert definition.count(mutant.text) == 1, f"{mutant.function} has changed:\n{definition}"
    database.execute(definition.replace(mutant.text, mutant.replacement))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_caught(worlds: Worlds, mutant: Mutant) -> None:
    with worlds.ready("sub-partitioned") as database:
        apply(mutant, database)
        with pytest.raises(mutant.seen_as):
            run(SPECIFICATIONS[mutant.caught_by], database)


def test_documented() -> None:
    """docs/exactness.md has this table."""
    rows = [f"| {mutant.name} | {mutant.caught_by} |" for mutant in MUTANTS]
    table = "\n".join(["| fault | caught by |", "|---|---|", *rows])
    assert table in (ROOT / "docs" / "exactness.md").read_text(encoding="utf-8"), table
