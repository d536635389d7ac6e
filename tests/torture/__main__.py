"""Torture a site for some minutes and tell what did not hold.

    python -m tests.torture [--minutes 3] [--seed N] [--clients 6] [--round 20] [--inputs all|none|NAME,NAME] [--without NAME,NAME]

Rounds of load, each followed by a recount. The seed decides what every session does, not how the server interleaves them:
a failure prints it, and the same seed asks for the same again. `--list` names the hostile inputs.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from local.server import EmbeddedServer
from tests.fixtures.standby import can_be_copied
from tests.torture import faults, judgement
from tests.torture.maintenance import Operator, Reader
from tests.torture.site import Owner
from tests.torture.world import INPUTS, Actor, World
from tests.torture.writers import Writer

SETTINGS = {
    "max_prepared_transactions": "100",
    "wal_level": "logical",
    "full_page_writes": "on",  # the server is killed: a page may be torn
    "deadlock_timeout": "300ms",
    "log_min_messages": "warning",
    "statement_timeout": "0",
    "restart_after_crash": "on",
}

#: Seconds that sessions get to end what they are at after a round; killmails above which some are deleted before the next.
TIMEOUT, MANY = 60, 60_000


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when everything held."""
    options = _options(arguments)
    if options.list:
        print("\n".join(f"{name:22} {what}" for name, what in INPUTS.items()))
        return 0
    with EmbeddedServer(durable=False, in_memory=True, settings=SETTINGS) as server:
        world = World(server, options.inputs - options.without, options.clients)
        world.build()
        findings = Torture(world, options.seed, options.round).go(options.minutes * 60)
    _report(world, options.seed)
    if findings:
        print(
            f"{len(findings)} FINDINGS. Again: make torture SEED={options.seed} CLIENTS={options.clients} MINUTES={options.minutes:g}"
        )
    else:
        print("Everything held.")
    return 1 if findings else 0


class Torture:
    """Round after round in one world."""

    def __init__(self, world: World, seed: int, seconds: float) -> None:
        self.world = world
        self.seed = seed
        self.seconds = seconds
        self.draw = random.Random(seed)
        self.position = world.server.log.stat().st_size

    def go(self, seconds: float) -> list[str]:
        """Rounds for so long, at least one; what did not hold in them."""
        end, number, findings = time.monotonic() + seconds, 0, list[str]()
        while number == 0 or time.monotonic() < end:
            number += 1
            findings += self._round(number)
        return findings

    def _round(self, number: int) -> list[str]:
        world, findings, healed = self.world, list[str](), list[str]()
        begun, before = time.monotonic(), world.tally.total("writer")
        self._thin_out()
        with ExitStack() as stack:
            with self._load(number, findings):
                world.stop.wait(self.seconds / 2)
                world.calm.set()
                if number % 4 == 0 and can_be_copied(world.server):
                    copy = stack.enter_context(faults.promoted(world))
                elif number % 2 == 1:
                    faults.crash(world, kill=self.draw.random() < 0.5)
                    copy = None
                else:
                    copy = None
                world.stop.wait(self.seconds / 2)
            judgement.finish(world, findings)
            fill = number % 2 == 1
            judgement.judge(world, world.database, findings, healed, fill=fill)
            if copy:
                judgement.end_prepared(copy)
                judgement.mend(copy, findings)
                judgement.judge(world, copy, findings, healed, "on the promoted standby: ", fill)
        findings += self._failures()
        killmails = world.database.value("select count(*) from public.killmails")
        world.database.close()
        print(
            f"round {number}: {world.tally.total('writer') - before} transactions, {killmails} killmails, "
            f"{time.monotonic() - begun:.0f} s, {len(findings)} findings"
            + "".join(f"\n  filled anew, {why}" for why in healed)
            + "".join(f"\n  {finding}" for finding in findings),
            flush=True,
        )
        return findings

    @contextmanager
    def _load(self, number: int, findings: list[str]) -> Iterator[None]:
        world, seed = self.world, f"{self.seed} {number}"
        world.begin()
        actors: list[Actor] = [Writer(world, n, seed, 100_000 * number) for n in range(world.clients)]
        actors += [Operator(world, 0, seed), Operator(world, 1, seed), Reader(world, 0, seed)]
        actors += [Owner(world, 0, seed), faults.Faults(world, 0, seed)]
        for actor in actors:
            actor.start()
        try:
            yield
        finally:
            world.stop.set()
            self._end(actors, findings)

    def _end(self, actors: Sequence[Actor], findings: list[str]) -> None:
        """Wait for all to end; who does not is ended, and that is a finding."""
        writers = [actor for actor in actors if isinstance(actor, Writer)]
        self._join(writers)
        judgement.end_prepared(self.world.database)  # or whoever waits for their locks waits for ever
        self._join(actors)  # as long again: only now they can go on
        for actor in [actor for actor in actors if actor.is_alive()]:
            rows = self.world.database.fetch(
                "select a.query, a.wait_event, clock_timestamp() - a.query_start as since, pg_terminate_backend(a.pid) "
                "from pg_stat_activity as a where a.application_name = %s",
                [f"torture {actor.name}"],
            )
            findings.append(f"{actor.name} hung for {TIMEOUT} s: {rows}")
            actor.join(TIMEOUT)
        findings += [f"{actor.name} broke: {actor.crash!r}" for actor in actors if actor.crash]

    @staticmethod
    def _join(actors: Sequence[Actor]) -> None:
        """Wait for actors to end, so long for all of them."""
        deadline = time.monotonic() + TIMEOUT
        for actor in actors:
            actor.join(max(0.0, deadline - time.monotonic()))

    def _failures(self) -> list[str]:
        """What failed and must not, and the deadlocks with one of ours in it."""
        world = self.world
        counted = Counter(
            f"{failure.actor.split()[0]}, {failure.step}: {failure.sqlstate} {failure.message}\n{judgement.brief(failure.context)}"
            for failure in world.tally.unexplained
        )
        findings = [f"{times} x {failure}" for failure, times in counted.items()]
        world.tally.unexplained.clear()
        findings += world.findings
        world.findings.clear()
        findings += judgement.died(world, self.position)
        found, self.position = judgement.deadlocks(world, self.position)
        for deadlock in found:
            world.tally.add("deadlock", f"{'ours' if deadlock.ours else 'theirs'}, of {deadlock.victim or '?'}")
            if deadlock.ours:
                findings.append(f"a deadlock killed {deadlock.victim}:\n{deadlock.text}")
        return findings

    def _thin_out(self) -> None:
        """Delete most killmails in one transaction when they have become many."""
        database = self.world.database
        if database.value("select count(*) from public.killmails") > MANY:
            database.execute('delete from public.killmails where "killmailId" % 5 > 0')


def _report(world: World, seed: int) -> None:
    names = {
        "writer": "transactions",
        "site": "DDL steps",
        "reader": "reads",
        "fault": "faults",
        "deadlock": "deadlocks",
        "judgement": "judgements",
    }
    print(f"\nseed {seed}")
    for kind in ("writer", "site", "maintenance", "reader", "fault", "deadlock", "judgement"):
        steps = ", ".join(f"{count} {step}" for step, count in sorted(world.tally.done.get(kind, {}).items()))
        print(f"{names.get(kind, kind)}: {world.tally.total(kind)}" + (f" ({steps})" if steps else ""))
    for kind in ("writer", "site", "maintenance", "reader"):
        failures = [
            f"{n} x {state} ({why or 'A FINDING'})"
            for (who, state, why), n in sorted(world.tally.failures.items())
            if who == kind
        ]
        if failures:
            print(f"failures, {kind}: " + ", ".join(failures))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    def inputs(text: str) -> frozenset[str]:
        names = {"all": [*INPUTS], "none": [], "": []}.get(text, [name.strip() for name in text.split(",")])
        if unknown := set(names) - set(INPUTS):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; --list has them all")
        return frozenset(names)

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--round", type=float, default=20, help="seconds of load before a recount")
    parser.add_argument(
        "--inputs", type=inputs, default=frozenset(INPUTS), help="hostile inputs to let in: all, none or names"
    )
    parser.add_argument("--without", type=inputs, default=frozenset(), help="hostile inputs to leave out")
    parser.add_argument("--list", action="store_true", help="name the hostile inputs")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    threading.excepthook = lambda _: None  # what a thread met is a finding of its round
    sys.exit(main())
