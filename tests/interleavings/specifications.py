"""The specifications: who meets whom. Character 77 has lost, 88 has killed; nobody else has these ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from entity_stats.sql import deployment
from tests.interleavings.orders import Specification


def kill(number: int, *, at: str = "12 hours", period: str = "14d", killer: int = 88) -> str:
    """The INSERT of one killmail, at such a time after the cutoff of a window."""
    return (
        'insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerCharacterId", "totalValue") '
        f"select {9000000 + number}, w.cutoff + interval '{at}', 77, {killer}, {number}.25 "
        f"from test.cutoff as w where w.period = '{period}'"
    )


def move(period: str = "14d", by: str = "1 day") -> str:
    """A step of ageing: about as much as the window has in a day."""
    return f"select entity_stats.move_window('{period}', c.cutoff + interval '{by}') from test.cutoff as c where c.period = '{period}'"


def deferred(statement: str) -> str:
    """The same, left pending."""
    return f"begin; set local entity_stats.fold = 'deferred'; {statement}; commit"


#: The first statement of a deployment: all but the triggers.
DEPLOY = deployment().removesuffix("commit;")
#: A partition lacks a trigger, one without which nothing slips by.
UNGUARDED = "drop trigger if exists trigger_update_entity_stats_on_temp_file_limit on public.killmails_new_0"
REINDEX = ("begin; reindex table public.entity_stats_cache", "commit")

PHASES = """
do $$
declare
    todo record;
begin
    for todo in select p.period, p."entityType" as type from entity_stats.phase as p loop
        call entity_stats.backfill_phase(todo.period, todo.type);
    end loop;
end
$$
"""

#: The same with every query planned anew: a plan that is kept has locked the indexes once, and a sequential scan does not.
PLANNED_PHASES = PHASES.replace(
    "begin\n", "begin\n    perform set_config('plan_cache_mode', 'force_custom_plan', false);\n"
)

RECALCULATE = "select entity_stats.recalculate_entities('character', array[77, 88, 1])"

#: Two killmails of which one is gone or changed soon; the newest that the two have.
TWO = (kill(1, at="2 days"), kill(2, at="6 hours"))
DELETE = 'delete from public.killmails where "killmailId" = 9000001'

#: Name -> what comes before, and the steps of a session that writes killmails.
WRITERS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "insert": ((), (f"begin; {kill(3)}", "commit")),
    "update": (
        TWO,
        (
            'begin; update public.killmails set "totalValue" = 7, "killmailTime" = "killmailTime" - interval \'40 hours\' '
            'where "killmailId" = 9000001',
            "commit",
        ),
    ),
    "delete": (TWO, (f"begin; {DELETE}", "commit")),
    "delete of a pending arrival": ((deferred(TWO[0]), TWO[1]), (f"begin; {DELETE}", "commit")),
    "rollback": (TWO, (f"begin; {DELETE}; {kill(3)}", "rollback")),
    "repeatable read": ((), (f"begin isolation level repeatable read; {kill(3)}", "commit")),
}

#: Name -> what comes before, the steps of a session that works on the cache, and what comes after.
OTHERS: Mapping[str, tuple[Sequence[str], Sequence[str], Sequence[str]]] = {
    "ageing": ((), (f"begin; {move()}", "commit", move("90d")), ()),
    "fold_pending": ((deferred(kill(5)),), ("begin; select entity_stats.fold_some(500, '{}')", "commit"), ()),
    "recalculation": ((), (f"begin; {RECALCULATE}", "commit"), ()),
    "first build": (
        ("delete from public.entity_stats_cache", "update entity_stats.state set status = 'empty'"),
        (
            "call entity_stats.backfill_begin()",
            PHASES,
            "begin; select entity_stats.finish_loading(); select entity_stats.open_cache()",
            "commit",
            "call entity_stats.backfill_finish()",
        ),
        (),
    ),
    "begin of a rebuild": (
        (),
        ("begin; select entity_stats.prepare_build(null, true)", "commit"),
        ("call entity_stats.backfill(rebuild => true)",),
    ),
    "rebuild": (
        ("select entity_stats.prepare_build(null, true)",),
        (
            PHASES,
            "begin; select entity_stats.absorb_some(1000); select entity_stats.finish_range(5000)",
            "commit",
            "call entity_stats.backfill_finish()",
        ),
        (),
    ),
}

BESIDE = [
    Specification(f"{writer} x {other}", {"writer": writes, "other": works}, (*prepared, *before), after)
    for writer, (before, writes) in WRITERS.items()
    for other, (prepared, works, after) in OTHERS.items()
]

SPECIAL = [
    # The fold has read its cutoffs and waits for a row that somebody holds.
    Specification(
        "fold stopped within x ageing",
        {
            "holder": ("""begin; select from public.entity_stats_cache where "entityId" = 77 for update""", "commit"),
            "writer": (kill(3),),
            "other": (move(),),
        },
        before=(kill(1, at="40 days", period="90d"),),
    ),
    Specification(
        "insert x delete x ageing",
        {
            "insert": (f"begin; {kill(3)}", "commit"),
            "delete": (f"begin; {DELETE}", "commit"),
            "other": (move(), move("30d")),
        },
        before=TWO,
    ),
    # Who locks rows in another order than everybody else meets a deadlock behind the holder of one of them.
    Specification(
        "insert x late arrival, behind a held row",
        {
            "holder": ("""begin; select from public.entity_stats_cache where "entityId" = 88 for update""", "commit"),
            "insert": (kill(3, at="2 days"),),
            "late": (f"begin; {kill(4)}; {kill(5, at='-5 days')}; commit",),
        },
        before=TWO,
    ),
    Specification(
        "two deletions",
        {
            "newest": (f"begin; {DELETE}", "commit"),
            "second": (f"begin; {DELETE.replace('9000001', '9000002')}", "commit"),
        },
        before=(*TWO, kill(3, at="1 hour")),
    ),
    # A deferred trigger of the site, queued behind the killmail, waits for somebody.
    Specification(
        "deferred trigger of the site behind the killmail",
        {
            "first": ("begin; update test.counter set n = n + 1", kill(3), "commit"),
            "second": (f"begin; {kill(4)}; insert into test.late default values", "commit"),
        },
        before=TWO,
    ),
    # The site holds a partition and waits for the writer, who must not wait for that partition at COMMIT.
    Specification(
        "deletion x lock of another partition",
        {
            "writer": (
                "begin; update test.counter set n = n + 1",
                'delete from public.killmails_new_0 where "killmailId" in (9000001, 9000002, 9000003, 9000004)',
                "commit",
            ),
            "site": (
                "begin; lock table public.killmails_old in access exclusive mode",
                "update test.counter set n = n + 1",
                "commit",
            ),
        },
        before=(*TWO, kill(3), kill(4)),
    ),
    Specification(
        "truncate of a partition x ageing",
        {"writer": ("begin; truncate public.killmails_new_0", "commit"), "other": (move(),)},
    ),
    *[
        Specification(f"{name} x deployment", {"writer": writes, "other": (DEPLOY, "commit")}, before, after)
        for name, (before, writes, after) in {
            "delete": (*WRITERS["delete"], ()),
            "recalculation": OTHERS["recalculation"],
            "rebuild": OTHERS["rebuild"],
        }.items()
    ],
    # A trigger is missing: creating it waits for the writers of the partition, and they for it.
    *[
        Specification(f"{name} x {other}", {"writer": writes, "other": works}, (*before, UNGUARDED))
        for name, (before, writes) in WRITERS.items()
        if name in ("insert", "delete")
        for other, works in {
            "guard": ("begin; select entity_stats.guard_node('public.killmails_new_0')", "commit"),
            "guard_killmails": ("call entity_stats.guard_killmails()",),
            "later statements of a deployment": ("call entity_stats.look_at_source(adopt => true)",),
        }.items()
    ],
    # REINDEX holds the table and waits for each index in turn.
    *[
        Specification(f"reindex x {name}", {"reindex": REINDEX, "other": works}, before, after)
        for name, (before, works, after) in {
            **{
                name: (before, writes, ()) for name, (before, writes) in WRITERS.items() if name in ("insert", "delete")
            },
            "recalculation": OTHERS["recalculation"],
            "rebuild": OTHERS["rebuild"],
            "backfill of a stale cache": (
                ("insert into public.entity_stats_invalidation (reason) values ('something')",),
                ("call entity_stats.backfill()",),
                (),
            ),
            "deployment": ((), (DEPLOY, "commit"), ()),
        }.items()
    ],
    # Who was active is read from the cache, and then the gate is waited for.
    Specification(
        "reindex x recalculate_active, behind the gate",
        {
            "holder": ("begin; lock table entity_stats.gate in exclusive mode", "commit"),
            "other": ("call entity_stats.recalculate_active()",),
            "reindex": ("reindex table public.entity_stats_cache",),
        },
    ),
    # The same of other tables: whoever reads them, and is held up before it writes to them.
    Specification(
        "reindex x fold_pending, behind the cache",
        {
            "holder": ("begin; lock table public.entity_stats_cache in share mode", "commit"),
            "other": ("call entity_stats.fold_pending()",),
            "reindex": ("reindex table entity_stats.ledger",),
        },
        (deferred(kill(3)),),
    ),
    Specification(
        "reindex x rebuild, behind a phase",
        {
            # Not in the way of who begins a slice, but of who builds it.
            "holder": ("begin; select from entity_stats.phase for key share", "commit"),
            "other": (PLANNED_PHASES,),
            "reindex": ("reindex table entity_stats.phase",),
        },
        OTHERS["begin of a rebuild"][1],
        OTHERS["begin of a rebuild"][2],
    ),
    # pg_dump holds every table for as long as it takes.
    Specification(
        "recalculation x begin of a rebuild x dump",
        {
            "dump": ("begin; lock table entity_stats.staged, public.killmails in access share mode", "commit"),
            "recalculation": (RECALCULATE,),
            "rebuild": OTHERS["begin of a rebuild"][1],
        },
        after=OTHERS["begin of a rebuild"][2],
    ),
    Specification(
        "insert while the ledger is locked",
        {
            "writer": WRITERS["insert"][1],
            "holder": ("begin; lock table entity_stats.ledger in exclusive mode", "select pg_sleep(0.4); commit"),
        },
    ),
    Specification(
        "on the cutoff",
        {
            "writer": (
                f"begin; {kill(3, at='0')}; {kill(4, at='-1 microsecond')}; {kill(5, at='0', period='30d')}; commit",
            )
        },
    ),
    Specification(
        "one window aged beyond the shorter ones",
        {
            "other": (move("90d", "85 days"),),
            "insert": (kill(3, at="1 day", period="30d"), kill(5)),
            "late": (kill(4, at="-4 days", period="30d"),),
        },
    ),
    Specification("new on the leaderboards", {"writer": (kill(3, killer=999), kill(4, killer=77))}),
]

SPECIFICATIONS = {specification.name: specification for specification in [*BESIDE, *SPECIAL]}
