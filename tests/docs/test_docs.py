"""README, runbook and installation say what is: their commands run, every alert, claim and error message is there."""

from __future__ import annotations

import ast
import re
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from local.server import EmbeddedServer
from tests.deploy.test_migration import EARLIER
from tests.fixtures.database import ROOT, SQL, WRITER, Database, Databases
from tests.fixtures.worlds import Worlds, assert_exact, pending

DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
RUNBOOK = (DOCS / "runbook.md").read_text()
INSTALL = (DOCS / "install.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def raised() -> set[str]:
    """Every message that SQL of a site raises, as the runbook's headings write them."""
    messages: set[str] = set()
    for path in SQL.rglob("*.sql"):
        found = re.findall(r"raise (?:exception|warning) '((?:[^']|'')*)'", path.read_text())
        messages |= {message.replace("''", "'").replace("%", "…") for message in found}
    return messages


def test_every_error_message_is_in_the_runbook_and_no_other() -> None:
    _, _, errors = RUNBOOK.partition("\n## Error messages\n")
    headings = re.findall(r"^### `(.+)`$", errors, re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == raised()


def pattern(title: ast.expr) -> str:
    """The text of an expression, as the runbook's headings write it."""
    parts = title.values if isinstance(title, ast.JoinedStr) else [title]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)


def told() -> set[str]:
    """The title of every alert that the DAGs can send."""
    titles: set[str] = set()
    for path in (ROOT / "dags").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="send"), args=[ast.Constant() | ast.JoinedStr() as title, *_]):
                    titles.add(pattern(title))
                case ast.Call(func=ast.Name(id="Incident"), args=[_, title, *_]):
                    titles.add(pattern(title))
                case ast.Call(
                    func=ast.Name(id="SyncCallback"), keywords=[ast.keyword(arg="kwargs", value=ast.Dict() as given)]
                ):
                    texts = dict(zip(map(pattern, filter(None, given.keys)), given.values, strict=True))
                    titles.add(pattern(texts["title"]))
    return titles


def test_every_alert_is_in_the_runbook_and_no_other() -> None:
    _, _, alerts = RUNBOOK.partition("\n## Alerts\n")
    headings = re.findall(r"^### `(.+)`$", alerts.partition("\n## ")[0], re.MULTILINE)
    # Which DAG it is, the runbook leaves open.
    assert sorted(headings) == sorted(re.sub("entity_stats_[a-z]+(_[a-z]+)*", "…", title) for title in told())


@pytest.mark.parametrize("block", blocks(RUNBOOK, "sql"))
def test_sql_of_the_runbook_runs(ready: Database, block: str) -> None:
    done = ready.psql("--quiet", input=re.sub(r" \\watch \d+", "", block))
    assert done.returncode == 0, done.stderr
    assert_exact(ready)


def test_brake_for_peak_hours(ready: Database) -> None:
    [brake] = [block for block in blocks(RUNBOOK, "sql") if "alter role killmail_writer set entity_stats.fold" in block]
    [release] = [block for block in blocks(RUNBOOK, "sql") if "killmail_writer reset entity_stats.fold" in block]

    def insert(seed: int) -> None:
        with ready.connect(user=WRITER) as session:
            session.execute("insert into public.killmails select * from test.killmails(5, %s)", [seed])

    insert(2)
    assert pending(ready) == 0
    try:
        ready.execute(brake)
        insert(3)
        assert pending(ready) == 5
        assert ready.fetch("select * from entity_stats.differences()") == []
        assert ready.fetch("select reason from entity_stats.backlog()") == [("deferred",)]
    finally:
        assert ready.psql(input=release).returncode == 0
    assert pending(ready) == 0
    insert(4)
    assert pending(ready) == 0
    assert_exact(ready)


def test_who_may_set_the_brake(own_server: EmbeddedServer) -> None:
    """As the runbook says: a role that administers the ingest's, once a superuser has granted the parameter."""
    [brake] = [block for block in blocks(RUNBOOK, "sql") if "alter role killmail_writer set entity_stats.fold" in block]
    [grant] = re.findall(r"`(grant set on parameter [^`]*)`", RUNBOOK)
    with (
        closing(Databases(own_server)) as databases,
        closing(Worlds(databases)) as worlds,
        worlds.source("plain") as site,
    ):
        site.load(SQL / "deploy.sql")
        site.execute(
            "create role killboard_owner login createrole; grant killmail_writer to killboard_owner with admin option"
        )
        with site.connect(user="killboard_owner") as owner:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                owner.execute(brake)
            site.execute(grant)
            owner.execute(brake)
        with site.connect(user=WRITER) as session:
            assert session.execute("show entity_stats.fold").fetchone() == ("deferred",)


def test_manual_update_breaks_exactness_and_recalculation_repairs_it(ready: Database) -> None:
    # The remedy that the specification gives for stats that do not match, three days after the windows were aged.
    ready.execute("""
        update public.entity_stats_cache as c set "kills30d" = (
            select count(*) from public.killmails as k
            where k."topAttackerCharacterId" = c."entityId" and k."killmailTime" >= now() + interval '3 days' - interval '30 days'
        )
        where c."entityType" = 'character'
    """)
    wrong = ready.fetch('select "entityId", "column" from entity_stats.differences()')
    assert {column for _, column in wrong} == {"kills30d"}
    for entity, column in wrong:
        repaired = ready.fetch("select \"column\" from entity_stats.recalculate(%s, 'character')", [entity])
        assert repaired == [(column,)]
    assert_exact(ready)


def test_dropped_trigger_is_recreated(ready: Database) -> None:
    ready.execute("drop trigger trigger_update_entity_stats_on_insert on public.killmails")
    assert ready.fetch("select missing from entity_stats.unguarded()") == [(["trigger_update_entity_stats_on_insert"],)]
    [recreate] = [block for block in blocks(RUNBOOK, "sql") if "drop trigger if exists" in block]
    assert ready.psql(input=recreate).returncode == 0
    assert ready.fetch("select * from entity_stats.unguarded()") == []


def test_commit_time_work_is_not_in_the_plan(ready: Database) -> None:
    cached = 'select count(*) from public.entity_stats_cache where "entityId" = 123456'
    with ready.connect(autocommit=False) as session:
        plan = session.execute("""
            explain (analyze, costs off)
            insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "totalValue")
            values (-1, now(), 123456, 10000)
        """).fetchall()
        assert any("trigger_update_entity_stats_on_insert" in line for [line] in plan)
        assert not any("fold_at_commit" in line for [line] in plan)
        assert session.execute(cached).fetchone() == (0,)
    assert ready.value(cached) == 1


def bash(database: Database, command: str) -> None:
    """Run a command of the documentation as a site would: psql on the path, libpq's variables say where."""
    session = psycopg.conninfo.conninfo_to_dict(database.conninfo)
    environment = {
        "PATH": f"{database.server.bin}:/usr/bin:/bin",
        "PGHOST": str(session["host"]),
        "PGPORT": str(session["port"]),
        "PGUSER": str(session["user"]),
        "PGDATABASE": database.name,
    }
    done = subprocess.run(
        ["bash", "-euc", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def section(heading: str) -> str:
    """A section of the installation page."""
    _, _, after = INSTALL.partition(f"\n## {heading}\n")
    assert after
    return after.partition("\n## ")[0]


def test_psql_and_cron(source: Database) -> None:
    for command in blocks(section("psql and cron instead of Airflow"), "bash"):
        bash(source, command)
    [crontab] = [text for text in blocks(section("psql and cron instead of Airflow"), "text") if "* * *" in text]
    for line in crontab.splitlines():
        bash(source, re.sub(r"^(\S+ +){5}", "", line).replace("cd /srv/entity-stats-cache", "true"))
    assert_exact(source)
    for command in blocks(section("Uninstall"), "bash"):
        bash(source, command)
    assert source.value("select to_regnamespace('entity_stats') is null")


def test_psql_of_the_readme(source: Database) -> None:
    [commands] = [block for block in blocks(README, "bash") if "psql -v" in block]
    for command in commands.splitlines():
        bash(source, command)
    assert_exact(source)
    [uninstall] = re.findall(r"`(psql [^`]*uninstall[^`]*)`", README)
    bash(source, uninstall)
    assert source.value("select to_regnamespace('entity_stats') is null")


def test_entities_of_the_readme_are_in_the_sample_world(bare: Database) -> None:
    [reads] = blocks(README, "sql")
    ids = {int(number) for number in re.findall(r"\((\d{7,})", reads)}
    assert len(ids) > 1
    found = bare.fetch(
        "select distinct p.id from sample.killmails(20000, now() - interval '400 days', now()) as k"
        ' cross join lateral (values (k."victimCharacterId"), (k."victimAllianceId"), (k."topAttackerCharacterId"),'
        ' (k."topAttackerAllianceId")) as p (id) where p.id = any(%s)',
        [list(ids)],
    )
    assert {number for (number,) in found} == ids


def test_reads_of_the_readme(ready: Database) -> None:
    [reads] = blocks(README, "sql")
    done = ready.psql(input=reads)
    assert done.returncode == 0, done.stderr


def test_without_superuser(own_server: EmbeddedServer) -> None:
    with (
        closing(Databases(own_server)) as databases,
        closing(Worlds(databases)) as worlds,
        worlds.source("plain") as site,
    ):
        site.execute("create role killboard_owner login; alter table public.killmails owner to killboard_owner")
        as_owner: list[str | Path] = ["-c", "set session authorization killboard_owner", "-f", SQL / "deploy.sql"]
        assert site.psql(*as_owner).returncode != 0
        [once] = blocks(section("Managed PostgreSQL without superuser"), "sql")
        site.execute(once.replace("database killboard", f"database {site.name}"))
        done = site.psql(*as_owner, "-c", "call entity_stats.backfill()")
        assert done.returncode == 0, done.stderr
        assert_exact(site)


def test_from_an_earlier_cache(source: Database) -> None:
    source.execute(EARLIER)
    for command in blocks(section("From an earlier cache with a row trigger"), "bash"):
        bash(source, command)
    assert_exact(source)
    source.execute("drop table public.entity_stats_cache_before")
    source.execute("drop function public.update_entity_stats_on_insert_before()")
