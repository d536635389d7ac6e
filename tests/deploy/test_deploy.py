"""Deploying: again, over an earlier version, for every kind of table and owner, beside writers; and taking it away again."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest

from tests.deploy.catalog import catalog
from tests.fixtures.database import SQL, WRITER, Database, Databases
from tests.fixtures.worlds import SHAPES, Worlds, assert_exact, deadlocks, pending, until

DEPLOY, UNINSTALL = SQL / "deploy.sql", SQL / "uninstall.sql"

INSERT = "insert into public.killmails select * from test.killmails({rows}, {seed})"


def run(database: Database, script: Path) -> CompletedProcess[str]:
    """Run a script with psql as somebody runs it; it must succeed."""
    result = database.psql("--quiet", "-f", script)
    assert result.returncode == 0, result.stderr
    return result


@pytest.mark.parametrize("shape", list(SHAPES), indirect=True)
def test_from_nothing_to_nothing(source: Database) -> None:
    """Deploy twice, backfill, compare, uninstall: the catalog is what it was, and killmails has every row."""
    before, rows = catalog(source), source.value("select count(*) from public.killmails")
    run(source, DEPLOY)
    deployed = catalog(source)
    again = run(source, DEPLOY)
    assert (again.stdout, again.stderr) == ("", "")
    assert catalog(source) == deployed

    assert source.psql("-c", "call entity_stats.backfill()").returncode == 0
    with source.connect(user=WRITER) as writer:
        writer.execute(INSERT.format(rows=50, seed=2))
        writer.execute("""update public.killmails set "totalValue" = 3 where "killmailId" % 3 = 0""")
    assert pending(source) == 0
    assert source.value("select count(*) from entity_stats.differences()") == 0
    assert_exact(source)

    run(source, DEPLOY)
    assert catalog(source) == deployed
    assert_exact(source)

    source.execute(f"grant entity_stats_reader to {WRITER}")
    said = run(source, UNINSTALL).stderr
    assert re.search(
        rf"INFO:  Role entity_stats_reader (is dropped\. Its members were|stays: .* Its members): .*{WRITER}", said
    )
    assert "INFO:  Role entity_stats_operator " in said
    source.execute(
        "do $$ begin if to_regrole('entity_stats_reader') is not null then"
        f" revoke entity_stats_reader from {WRITER}; end if; end $$"
    )
    assert catalog(source) - before == set()
    assert before - catalog(source) == set()
    assert source.value("select count(*) from public.killmails") == rows + 50
    assert "is not deployed" in run(source, UNINSTALL).stderr


def test_uninstall_leaves_the_sites_own_alone(source: Database) -> None:
    """Where the cache is not deployed, what bears its names is the site's."""
    source.execute(
        """
        create function public.update_entity_stats_on_insert() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger trigger_update_entity_stats_on_insert after insert on public.killmails
        for each statement execute function public.update_entity_stats_on_insert();
        """
    )
    before = catalog(source)
    run(source, UNINSTALL)
    assert catalog(source) == before


def test_uninstall_names_what_hangs_on_it(ready: Database) -> None:
    """A view of the site on one of ours stops the uninstall; a function that looks like ours is not taken for one."""
    ready.execute(
        """
        create view public.hall_of_fame as select * from public.alliance_stats;
        create function public.get_entity_stats(name text) returns setof entity_stats.stats language sql begin atomic
            select s.* from public.get_entity_stats(1, 'character', name) as s;
        end;
        """
    )
    result = ready.psql("-f", UNINSTALL)
    assert result.returncode != 0
    assert "objects that do not belong to the cache depend on it" in result.stderr
    assert "hall_of_fame" in result.stderr or "get_entity_stats(text)" in result.stderr
    assert "HINT:  Drop them first" in result.stderr
    assert ready.value("select count(*) from public.entity_stats_cache") > 0

    # Stopped half way, deployment makes it whole again.
    assert ready.value("select count(*) from entity_stats.unguarded()") > 0
    run(ready, DEPLOY)
    assert ready.value("select count(*) from entity_stats.unguarded()") == 0

    ready.execute("drop view public.hall_of_fame")
    result = ready.psql("-f", UNINSTALL)
    assert "function get_entity_stats(text) depends on" in result.stderr
    ready.execute("drop function public.get_entity_stats(text)")
    run(ready, UNINSTALL)


def test_upgraded_is_as_fresh(ready: Database) -> None:
    """An earlier version's functions, views, triggers, comments and owners become this one's; the data stays exact."""
    fresh = catalog(ready)
    ready.execute(
        """
        create function entity_stats.fold_everything() returns void language sql return null;
        create function entity_stats.fold_harder() returns void language sql begin atomic select entity_stats.fold_everything(); end;
        create or replace function entity_stats.last_times(entity_type text, attacker boolean, entities bigint[], until timestamp[])
        returns table ("entityId" bigint, "lastTime" timestamp) language plpgsql as $$ begin return; end $$;
        create or replace function entity_stats.capture_delete() returns trigger language plpgsql as $$ begin return null; end $$;
        create or replace procedure entity_stats.fold_pending() language plpgsql as $$ begin raise 'old'; end $$;
        alter function entity_stats.status() owner to postgres;
        grant execute on function entity_stats.status() to public;
        comment on table entity_stats.ledger is 'old';
        create view entity_stats.all_was_well as select c.* from entity_stats.claims() as c;
        comment on view entity_stats.all_was_well is 'warn: All is well.';
        drop view entity_stats.cache_is_ready;
        create view entity_stats.cache_is_ready as select true as other_columns;
        comment on view entity_stats.cache_is_ready is 'full: Old.';
        create table entity_stats.ranked (periods integer);
        drop trigger trigger_update_entity_stats_on_truncate on public.killmails_default;
        alter table public.killmails disable trigger trigger_update_entity_stats_on_update;
        create or replace trigger trigger_update_entity_stats_on_insert after insert on public.killmails_default
        referencing new table as fresh for each statement execute function public.update_entity_stats_on_insert();
        create or replace trigger trigger_update_entity_stats_on_delete after update on public.killmails_default
        for each statement execute function entity_stats.capture_delete();
        """
    )
    assert catalog(ready) != fresh
    run(ready, DEPLOY)
    assert catalog(ready) - fresh == set()
    assert fresh - catalog(ready) == set()
    # Killmails can have slipped by while triggers were missing.
    assert "were disabled or dropped" in ready.value("select s.reason from entity_stats.status() as s")
    ready.execute("call entity_stats.backfill()")
    with ready.connect(user=WRITER) as writer:
        writer.execute(INSERT.format(rows=50, seed=2))
        writer.execute("""delete from public.killmails where "killmailId" % 3 = 0""")
    assert_exact(ready)


def test_a_redeploy_does_not_hold_the_gate(ready: Database) -> None:
    """Whoever deploys waits for tables that come before the gate in the order of locks, as the staging does."""
    with ready.connect(autocommit=False) as builder:
        builder.execute("lock table entity_stats.gate in access exclusive mode")
        result = ready.psql("--quiet", "-c", "set lock_timeout = '2s'", "-f", DEPLOY)
    assert result.returncode == 0, result.stderr


def test_a_redeploy_waits_for_no_fold(ready: Database) -> None:
    """No table that a COMMIT writes to is locked in a mode that a fold under way would hold up."""
    with ready.connect(autocommit=False) as fold:
        for table in ("entity_stats.late", "entity_stats.ledger", "entity_stats.aside"):
            fold.execute(f"lock table {table} in row exclusive mode")
        for table in ("cache", "invalidation"):
            fold.execute(f"lock table public.entity_stats_{table} in row exclusive mode")
        result = ready.psql("--quiet", "-c", "set lock_timeout = '2s'", "-f", DEPLOY)
    assert result.returncode == 0, result.stderr


def test_an_unchanged_redeploy_locks_nothing(ready: Database) -> None:
    """Deploying again takes no lock on killmails: it does not even notice a session that has locked out everybody."""
    with ready.connect(autocommit=False) as busy:
        for (node,) in busy.execute("select n.node::text from entity_stats.nodes() as n (node)").fetchall():
            busy.execute(f"lock table only {node} in access exclusive mode")
        run(ready, DEPLOY)


def test_a_redeploy_whatever_the_search_path(ready: Database) -> None:
    """Names are not shortened by what the deploying session sees without a schema."""
    result = ready.psql("--quiet", "-c", "set search_path = entity_stats, public", "-f", DEPLOY)
    assert result.returncode == 0, result.stderr
    assert_exact(ready)


def test_a_redeploy_waits_for_who_checks_a_claim(ready: Database) -> None:
    """It makes the claims again; whoever checks another claim meanwhile does not wait for it."""
    run(ready, DEPLOY)
    with ThreadPoolExecutor() as pool, ready.connect(autocommit=False) as long:
        long.execute("select from entity_stats.windows_are_exact")
        deployment = pool.submit(run, ready, DEPLOY)
        waits = "select count(*) > 0 from pg_locks where not granted and relation = 'entity_stats.windows_are_exact'::regclass"
        with ready.connect(options="-c lock_timeout=2s") as other:
            for _ in range(3):
                until(ready, waits)
                other.execute("select from entity_stats.cache_is_ready")
        assert not deployment.done()
        long.commit()
        deployment.result()
    assert deadlocks(ready) == 0


def test_two_at_once(source: Database) -> None:
    """Deployments that start together follow one another."""
    with ThreadPoolExecutor() as pool:
        for deployment in [pool.submit(run, source, DEPLOY) for _ in range(3)]:
            deployment.result()
    source.execute("call entity_stats.backfill()")
    assert_exact(source)


@contextmanager
def sessions(
    database: Database, number: int, transaction: Callable[[psycopg.Connection[Any], int, int], None], **connect: Any
) -> Iterator[list[int]]:
    """Sessions that run a transaction again and again until the block ends; how many each has committed.

    Args:
        database: where they connect to.
        number: of sessions.
        transaction: what to do in it, given the session, its index and how many it has committed.
        connect: for Database.connect().
    """
    stop = threading.Event()
    committed = [0] * number

    def run_on(index: int) -> None:
        with database.connect(autocommit=False, **connect) as session:
            while not stop.is_set():
                transaction(session, index, committed[index])
                session.commit()
                committed[index] += 1

    with ThreadPoolExecutor(number) as pool:
        running = [pool.submit(run_on, index) for index in range(number)]
        try:
            yield committed
        finally:
            stop.set()
        for future in running:
            future.result()


def writers(database: Database, number: int) -> AbstractContextManager[list[int]]:
    """Sessions that write killmails."""

    def write(session: psycopg.Connection[Any], index: int, committed: int) -> None:
        seed = 100 + index + number * committed
        session.execute(INSERT.format(rows=5, seed=seed))
        session.execute(
            """update public.killmails set "totalValue" = 5 where "killmailId" between %s and %s""",
            [1000000 * seed, 1000000 * seed + 2],
        )
        session.execute("""delete from public.killmails where "killmailId" = %s""", [1000000 * seed + 3])

    return sessions(database, number, write, user=WRITER, options="-c lock_timeout=30s")


def more(committed: list[int]) -> None:
    """Wait until each session has committed once more."""
    goal = [count + 1 for count in committed]
    pause = threading.Event()
    for _ in range(6000):
        if all(count >= wanted for count, wanted in zip(committed, goal, strict=True)):
            return
        pause.wait(0.01)
    raise AssertionError(f"sessions stand still: {committed}, {goal}")


def test_the_finish_catches_up_with_many_writers(source: Database) -> None:
    """More of them than the first steps take rows: all that have waited for a step at the gate commit before the next."""
    run(source, DEPLOY)
    with writers(source, 30) as committed:
        more(committed)
        result = source.psql("-c", "set statement_timeout = '60s'", "-c", "call entity_stats.backfill()")
        assert result.returncode == 0, result.stderr
        more(committed)
    assert_exact(source)


def test_under_writers(source: Database) -> None:
    """Eight sessions write while the cache is deployed, filled, deployed again and taken away: none fails, none is wrong."""
    with writers(source, 8) as committed:
        more(committed)
        run(source, DEPLOY)
        more(committed)
        result = source.psql("-c", "call entity_stats.backfill()")
        assert result.returncode == 0, result.stderr
        more(committed)
        run(source, DEPLOY)
        more(committed)
    assert pending(source) == 0
    assert_exact(source)
    assert deadlocks(source) == 0

    with writers(source, 8) as committed:
        more(committed)
        run(source, UNINSTALL)
        more(committed)
    assert deadlocks(source) == 0


def test_beside_a_long_transaction(source: Database) -> None:
    """A long transaction on killmails makes deployment wait and try again, and never queues other writers behind it."""
    with ThreadPoolExecutor() as pool, source.connect(user=WRITER, autocommit=False) as long:
        long.execute(INSERT.format(rows=5, seed=2))
        deployment = pool.submit(run, source, DEPLOY)
        until(source, "select to_regprocedure('entity_stats.guard_killmails(interval)') is not null")
        # It waits for killmails and gives up, several times; whoever comes meanwhile waits less than half a second.
        waits = "select count(*) > 0 from pg_locks where not granted and relation = 'public.killmails'::regclass"
        with source.connect(user=WRITER, options="-c lock_timeout=500ms") as other:
            for seed in range(3, 6):
                until(source, waits)
                other.execute(INSERT.format(rows=5, seed=seed))
                until(source, waits.replace("> 0", "= 0"))
                other.execute(INSERT.format(rows=5, seed=seed + 10))
        assert not deployment.done()
        assert source.value("select count(*) from entity_stats.unguarded()") > 0
        long.commit()
        deployment.result()
    assert source.value("select count(*) from entity_stats.unguarded()") == 0
    source.execute("call entity_stats.backfill()")
    assert_exact(source)


def test_patience_ends(source: Database) -> None:
    """A transaction that outlasts the patience is named by what it holds, and the next try completes."""
    run(source, DEPLOY)
    source.execute("drop trigger trigger_update_entity_stats_on_delete on public.killmails_default")
    with source.connect(autocommit=False) as long:
        long.execute("lock table public.killmails_default in row exclusive mode")
        with pytest.raises(psycopg.errors.LockNotAvailable, match="killmails_default was in use") as refusal:
            source.execute("call entity_stats.guard_killmails(patience => '1 second')")
        assert "pg_stat_activity" in str(refusal.value.diag.message_hint)
    source.execute("call entity_stats.guard_killmails(patience => '1 second')")
    assert source.value("select count(*) from entity_stats.unguarded()") == 0


def test_uninstall_waits_for_who_has_captured(ready: Database) -> None:
    """A transaction that has captured killmails holds up the uninstall, not the other way round, and commits."""
    with ThreadPoolExecutor() as pool, ready.connect(user=WRITER, autocommit=False) as long:
        long.execute(INSERT.format(rows=5, seed=2))
        # Where the triggers went already: only the ledger tells of the transaction.
        long.execute("savepoint s")
        uninstall = pool.submit(run, ready, UNINSTALL)
        until(ready, "select count(*) > 0 from pg_locks where not granted and relation = 'public.killmails'::regclass")
        long.commit()
        uninstall.result()
    assert deadlocks(ready) == 0


def test_a_partition_goes_while_the_triggers_do(ready: Database) -> None:
    """An uninstall passes over a partition that is dropped after it has been listed."""
    with ThreadPoolExecutor() as pool, ready.connect(autocommit=False) as site:
        site.execute("drop table public.killmails_default")
        uninstall = pool.submit(run, ready, UNINSTALL)
        until(ready, "select count(*) > 0 from pg_locks where not granted and relation = 'public.killmails'::regclass")
        site.commit()
        uninstall.result()
    assert ready.value("select to_regnamespace('entity_stats')") is None


@pytest.mark.parametrize("makes_roles", [True, False], ids=["owner makes roles", "administrator made roles"])
@pytest.mark.parametrize("kind", ["partitioned", "plain"])
def test_without_superuser(own_databases: Databases, makes_roles: bool, kind: str) -> None:
    """The owner of killmails deploys, fills, ages and uninstalls without being a superuser."""
    owner = "killboard_owner"
    with ExitStack() as stack:
        server = stack.enter_context(psycopg.connect(own_databases.server.conninfo(), autocommit=True))
        server.execute(f"create role {owner} login {'createrole' if makes_roles else ''}")
        stack.callback(server.execute, f"drop role if exists {owner}, entity_stats_reader, entity_stats_operator")
        worlds = Worlds(own_databases)
        stack.callback(worlds.close)
        site = stack.enter_context(worlds.source(kind))
        site.execute(
            f"""
            grant create on database {site.name} to {owner};
            grant usage on schema test to {owner};
            grant create on schema public to {owner} {"with grant option" if makes_roles else ""};
            do $$
            declare
                node regclass;
            begin
                for node in select 'public.killmails'::regclass union select relid from pg_partition_tree('public.killmails') loop
                    execute format('alter table %s owner to {owner}', node);
                end loop;
            end $$;
            """
        )
        if not makes_roles:
            refused = site.psql("-c", f"set session authorization {owner}", "-f", DEPLOY)
            assert refused.returncode != 0
            assert "may not create the roles of the cache" in refused.stderr
            hint = refused.stderr.split("HINT:  Ask an administrator: ")[1].splitlines()[0]
            site.execute(hint)
        before = catalog(site)

        def by_owner(*args: str | Path) -> None:
            result = site.psql("-c", f"set session authorization {owner}", *args)
            assert result.returncode == 0, result.stderr

        by_owner("-f", DEPLOY)
        deployed = catalog(site)
        by_owner("-f", DEPLOY)
        assert catalog(site) == deployed
        by_owner("-c", "call entity_stats.backfill()")
        with site.connect(user=WRITER) as writer:
            writer.execute(INSERT.format(rows=50, seed=2))
            writer.execute("""delete from public.killmails where "killmailId" % 3 = 0""")
        by_owner("-c", "call entity_stats.age_windows()")
        by_owner("-c", "call entity_stats.fold_pending()")
        assert_exact(site)
        by_owner("-c", f"grant entity_stats_reader to {WRITER}", "-c", f"revoke entity_stats_reader from {WRITER}")

        said = site.psql("-c", f"set session authorization {owner}", "-f", UNINSTALL).stderr
        stays = "stays, because an administrator made it. Its members: "
        assert (f"INFO:  Role entity_stats_operator {stays}{owner}" in said) is not makes_roles, said
        assert catalog(site) - before == set()
        assert before - catalog(site) == set()


def test_the_owner_deploys_after_a_superuser(own_databases: Databases) -> None:
    """What a superuser has deployed, event triggers among it, the owner of killmails deploys again, to the same."""
    owner = "killboard_owner"
    with ExitStack() as stack:
        server = stack.enter_context(psycopg.connect(own_databases.server.conninfo(), autocommit=True))
        server.execute(f"create role {owner} login")
        stack.callback(
            server.execute,
            f"drop owned by entity_stats_operator; drop role if exists {owner}, entity_stats_reader, entity_stats_operator",
        )
        worlds = Worlds(own_databases)
        stack.callback(worlds.close)
        site = stack.enter_context(worlds.source())
        site.execute(
            f"""
            do $$
            declare
                node regclass;
            begin
                for node in select relid from pg_partition_tree('public.killmails') loop
                    execute format('alter table %s owner to {owner}', node);
                end loop;
            end $$;
            """
        )
        run(site, DEPLOY)
        site.execute("call entity_stats.backfill()")
        site.execute(
            f"""
            grant entity_stats_operator to {owner};
            grant entity_stats_reader to {owner} with admin option;
            grant create on schema public to {owner};
            grant create on database {site.name} to {owner};
            """
        )
        deployed = catalog(site)
        for turn in range(2, 4):
            result = site.psql("-c", f"set session authorization {owner}", "-f", DEPLOY)
            assert result.returncode == 0, result.stderr
            assert catalog(site) == deployed
            with site.connect(user=WRITER) as writer:
                writer.execute(INSERT.format(rows=50, seed=turn))
            # The superuser's event triggers follow the owner's DDL as before.
            with site.connect(user=owner) as session:
                session.execute(
                    f"""
                    begin;
                    create table public.of_{1990 + turn} partition of public.killmails
                    for values from ('{1990 + turn}-01-01') to ('{1991 + turn}-01-01');
                    insert into public.of_{1990 + turn} ("killmailId", "killmailTime", "victimCharacterId")
                    values ({turn}, '{1990 + turn}-02-03', 5);
                    commit
                    """
                )
            assert_exact(site)
            deployed = catalog(site)
        assert (
            site.value("select count(*) from pg_event_trigger where evtname like 'entity_stats%' and evtenabled = 'A'")
            == 3
        )


def test_what_it_prints(source: Database) -> None:
    """At most ten lines: what there is, warnings after it, what to do next at the end."""
    first = source.psql("-f", DEPLOY)
    assert first.returncode == 0
    lines = first.stdout.splitlines()
    assert len(lines) + len(first.stderr.splitlines()) <= 10, first
    assert lines[0] == f"The entity stats cache is deployed in database {source.name}."
    assert re.fullmatch(r"killmails: (one table|\d+ tables), all with their triggers\.", lines[1])
    assert lines[-1] == "Next: call entity_stats.backfill(); or the DAG entity_stats_backfill."
    assert "Cache: empty." in lines
    assert not any(line.startswith("Warning") for line in lines)

    source.execute("call entity_stats.backfill('2026-01-02 03:04:00+00')")
    again = source.psql("-f", DEPLOY)
    assert again.stderr == ""
    assert "Cache: ready, as of 2026-01-02 03:04 UTC." in again.stdout.splitlines()
    assert again.stdout.splitlines()[-1].startswith("Next: nothing.")

    source.execute("truncate public.killmails")
    stale = source.psql("-f", DEPLOY).stdout.splitlines()
    assert stale[-2].startswith("Warning: ")
    assert stale[-1].startswith("Next: ")
    assert [row for (row,) in source.fetch("select * from entity_stats.deployment()")] == stale
