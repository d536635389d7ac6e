"""Deliberate faults in the protocol: what each replaces in a deployed function, and the specification that catches it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.interleavings.orders import DeadlockError, InexactError

FOLD = "entity_stats.fold_own(bigint)"
ADD = "entity_stats.add(entity_stats.fact[], entity_stats.delta[], integer, timestamptz, timestamptz)"
MERGE = "entity_stats.merge(entity_stats.fact[], entity_stats.delta[], boolean)"
MOVE = "entity_stats.move_window(text, timestamptz, boolean)"


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        name: what is wrong.
        function: the function's name and argument types.
        text: what its definition contains, exactly once.
        replacement: what it contains instead.
        caught_by: name of the specification that fails, or another test.
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
        "('exclusive', 'entity_stats.gate')",
        "('access share', 'entity_stats.gate')",
        "fold stopped within x ageing",
    ),
    Mutant(
        "merge locks rows in the opposite order",
        MERGE,
        'order by e."entityType" collate "C" desc, e."entityId"',
        'order by e."entityType" collate "C", e."entityId" desc',
        "insert x late arrival, behind a held row",
        DeadlockError,
    ),
    Mutant(
        "add locks rows in the opposite order",
        ADD,
        'order by d."entityType" desc, d."entityId"',
        'order by d."entityType", d."entityId" desc',
        "insert x late arrival, behind a held row",
        DeadlockError,
    ),
    Mutant(
        "the fold does not ask whether it is the last",
        FOLD,
        "if not last then",
        "if false then",
        "deferred trigger of the site behind the killmail",
        DeadlockError,
    ),
    Mutant(
        "a fold waits for killmails at COMMIT",
        FOLD,
        "lock table public.killmails in access share mode nowait;",
        "lock table public.killmails in access share mode;",
        "deletion x lock of another partition",
        DeadlockError,
    ),
    Mutant(
        "a deletion overtakes its pending arrival",
        FOLD,
        "if exists (select from entity_stats.ledger as l where not l.folded) or",
        "if false or",
        "delete of a pending arrival x fold_pending",
    ),
    Mutant(
        "a fold in REPEATABLE READ trusts its snapshot",
        "entity_stats.pending_reason()",
        "(current_setting('transaction_isolation'::text) <> 'read committed'::text)",
        "false",
        "repeatable read x ageing",
    ),
    Mutant(
        "the newest killmail goes and nobody looks for the one before",
        MERGE,
        "where gone.until >= case",
        "where false and gone.until >= case",
        "two deletions",
    ),
    Mutant(
        "a killmail on the cutoff does not count",
        ADD,
        'p."killmailTime" >= from_time',
        'p."killmailTime" > from_time',
        "on the cutoff",
    ),
    Mutant(
        "windows are taken for nested",
        MERGE,
        """(f."killmailTime" >= s."cutoff30d")""",
        """(f."killmailTime" >= greatest(s."cutoff30d", s."cutoff90d"))""",
        "one window aged beyond the shorter ones",
    ),
    Mutant(
        "the fast path looks at the narrowest window only",
        FOLD,
        """greatest(now_state."cutoff14d", now_state."cutoff30d", now_state."cutoff90d")""",
        """now_state."cutoff14d\"""",
        "one window aged beyond the shorter ones",
    ),
    Mutant(
        "folded facts are not kept for a rebuild",
        FOLD,
        "elsif now_state.retaining then",
        "elsif false then",
        "insert x rebuild",
    ),
    Mutant(
        "absorption takes what the phases have seen",
        "entity_stats.absorb(integer)",
        "and not pg_visible_in_snapshot(l.xid, p.snapshot)",
        "",
        "insert x first build",
    ),
    Mutant(
        "facts that a rebuild has absorbed are forgotten as pending",
        "entity_stats.pending(boolean)",
        "(f.absorbed OR (NOT pending.absorbed))",
        "(NOT pending.absorbed)",
        "repeatable read x rebuild",
    ),
    Mutant(
        "the cache opens without the last facts",
        "entity_stats.open_cache()",
        "while entity_stats.absorb(1000) > 0 loop",
        "while false loop",
        "insert x first build",
    ),
    Mutant(
        "ageing subtracts what is pending",
        MOVE,
        "from (select case when forward then 1 else -1 end as sign, l.* from entity_stats.pending_facts() as l) as p",
        "from (select case when forward then 1 else -1 end as sign, l.* from entity_stats.pending_facts() as l where false) as p",
        "repeatable read x ageing",
    ),
    Mutant(
        "the ledger is read and then written by one transaction",
        "entity_stats.fold_some(integer, bigint[])",
        "lock table entity_stats.ledger, entity_stats.aside in row exclusive mode;",
        "",
        "reindex x fold_pending, behind the cache",
        DeadlockError,
    ),
    Mutant(
        "the phases are read and then written by one transaction",
        "entity_stats.lock_build(boolean)",
        "lock table entity_stats.phase, entity_stats.state, entity_stats.ledger, entity_stats.aside in row exclusive mode;",
        "",
        "reindex x rebuild, behind a phase",
        DeadlockError,
    ),
    Mutant(
        "who comes over a mark is not filed",
        ADD,
        "leads = c.leads | coalesce(",
        "leads = c.leads & coalesce(",
        "new on the leaderboards",
    ),
    Mutant(
        "who is new is not filed",
        ADD,
        "then 255",
        "then 0",
        "new on the leaderboards",
    ),
    Mutant(
        "an update counts the old killmail once more",
        "entity_stats.capture_update()",
        "-1 as sign, o.",
        "1 as sign, o.",
        "update x fold_pending",
    ),
    Mutant(
        "what was set aside is not pending",
        "entity_stats.pending_facts()",
        'FROM entity_stats.facts_aside() a(part, xid, "capturedAt", fact, reason)',
        'FROM entity_stats.facts_aside() a(part, xid, "capturedAt", fact, reason) WHERE false',
        "insert while the ledger is locked",
    ),
    Mutant(
        "a deletion counts once more",
        "entity_stats.capture_delete()",
        '-1, o."killmailTime"',
        '1, o."killmailTime"',
        "delete x fold_pending",
    ),
    Mutant(
        "TRUNCATE is not captured",
        "entity_stats.capture_truncate()",
        "if entity_stats.is_captured(tg_relid) and",
        "if false and",
        "truncate of a partition x ageing",
    ),
    Mutant(
        "the cache is read and then written by one transaction",
        "entity_stats.recalculate_active(timestamptz, integer)",
        "        commit; -- who has read the cache",
        "        -- who has read the cache",
        "reindex x recalculate_active, behind the gate",
        DeadlockError,
    ),
    Mutant(
        "what is folded stays in the ledger",
        FOLD,
        """delete from entity_stats.ledger as l
            where l.xid = pg_current_xact_id() and l.reason is null
            returning l.facts""",
        "select l.facts from entity_stats.ledger as l where l.xid = pg_current_xact_id() and l.reason is null",
        "insert x fold_pending",
    ),
]

#: No order of steps shows this one: it takes a source that has changed behind the cache's back.
UNASKED = Mutant(
    "ageing does not ask what the cache stands on",
    "entity_stats.age_window(text, timestamptz)",
    "perform entity_stats.require_source();",
    "",
    "`tests/site/test_site_changes.py`",
)
