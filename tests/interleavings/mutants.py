"""Deliberate faults in the protocol: what each replaces in a deployed function, and the specification that catches it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.interleavings.specification import InexactError

FOLD = "entity_stats.fold_own(bigint)"
ADD = "entity_stats.add(entity_stats.fact[], entity_stats.delta[], integer, timestamptz, timestamptz)"


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        name: what is wrong.
        function: the function's name and argument types.
        text: what its definition contains, exactly once.
        replacement: what it contains instead.
        caught_by: name of the specification that fails.
        seen_as: how it fails.
    """

    name: str
    function: str
    text: str
    replacement: str
    caught_by: str
    seen_as: type[AssertionError] = InexactError


MUTANTS = [
    Mutant(
        "the fold does not take the gate",
        FOLD,
        "lock table entity_stats.gate in row share mode;",
        "",
        "fold stopped within x ageing",
    ),
    Mutant(
        "ageing takes the gate in a weaker mode",
        "entity_stats.close_gate()",
        "('entity_stats.gate', 'exclusive')",
        "('entity_stats.gate', 'access share')",
        "fold stopped within x ageing",
    ),
    Mutant(
        "the fast path looks at the narrowest window only",
        FOLD,
        """greatest(now_state."cutoff14d", now_state."cutoff30d", now_state."cutoff90d")""",
        """now_state."cutoff14d\"""",
        "one window aged beyond the shorter ones",
    ),
    Mutant(
        "the cache opens without the last facts",
        "entity_stats.open_cache()",
        "while entity_stats.absorb(1000) > 0 loop",
        "while false loop",
        "insert x first build",
    ),
    Mutant(
        "nobody is filed for the leaderboards",
        ADD,
        "cross join lateral entity_stats.over_mark(row(m.*)::public.entity_stats_cache) as o",
        "cross join lateral entity_stats.over_mark(row(m.*)::public.entity_stats_cache) as o where false",
        "new on the leaderboards",
    ),
    Mutant(
        "what was set aside is not pending",
        "entity_stats.pending_facts()",
        'FROM entity_stats.facts_aside() a(part, xid, "capturedAt", fact, reason)',
        'FROM entity_stats.facts_aside() a(part, xid, "capturedAt", fact, reason) WHERE false',
        "insert while the ledger is locked",
    ),
]
