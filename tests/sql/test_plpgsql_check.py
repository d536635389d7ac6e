"""plpgsql_check compares each PL/pgSQL body with the catalog: missing columns, wrong types, dead code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.database import Database


def available() -> bool:
    """Whether the server under test has the extension: the wheel's has none, Debian's may."""
    if not (binaries := os.environ.get("PG_BIN")):
        return False
    share = subprocess.run([Path(binaries) / "pg_config", "--sharedir"], capture_output=True, text=True, check=True)
    return (Path(share.stdout.strip()) / "extension" / "plpgsql_check.control").exists()


pytestmark = pytest.mark.skipif(
    not available(), reason="the server has no plpgsql_check: make test-pg PG_BIN=... on Debian has it"
)

#: Trigger functions are checked as they are used, with the names of their transition tables. Its advice on
#: performance is left out: it asks for STABLE where VOLATILE is chosen for its new snapshots.
FINDINGS = """
with routine as (
    select distinct on (p.oid, t.tgoldtable, t.tgnewtable)
        p.oid::regprocedure as routine, p.prorettype = 'trigger'::regtype as "isTrigger",
        t.tgrelid, t.tgoldtable, t.tgnewtable
    from pg_proc as p
    inner join pg_language as l on p.prolang = l.oid
    inner join pg_namespace as n on p.pronamespace = n.oid
    left join pg_trigger as t on p.oid = t.tgfoid and not t.tgisinternal
    where l.lanname = 'plpgsql' and (n.nspname = 'entity_stats' or p.proname like '%entity\\_stats%')
    order by p.oid, t.tgoldtable, t.tgnewtable, t.tgrelid
)
select r.routine::text, c.lineno, c.level, c.message, c.detail, c.hint
from routine as r
cross join lateral plpgsql_check_function_tb(
    r.routine, coalesce(r.tgrelid, 0::oid)::regclass,
    fatal_errors => false, extra_warnings => true, security_warnings => true,
    oldtable => r.tgoldtable, newtable => r.tgnewtable
) as c
where r.tgrelid is not null or not r."isTrigger"
"""


#: What is meant so: the event trigger runs what it has formatted itself; a COMMIT where there can
#: be none is how a procedure learns that it is in a transaction block.
MEANT = {
    ("entity_stats.watch_ddl()", "text type variable is not sanitized"),
    ("entity_stats.commit_in_a_block()", "invalid transaction termination"),
    ("entity_stats.require_autocommit(text)", "cannot commit while a subtransaction is active"),
}


def test_bodies_agree_with_the_catalog(site: Database) -> None:
    site.execute("create extension plpgsql_check")
    findings = [row for row in site.fetch(FINDINGS) if (row[0], row[3]) not in MEANT]
    assert not findings, "\n".join(" | ".join(str(value) for value in row) for row in findings)


@pytest.mark.parametrize(
    ("volatility", "statement", "finding"),
    [
        (
            "volatile",
            "return (select k.nonsense from public.killmails as k)",
            "column k.nonsense does not exist",
        ),
        ("stable", "delete from public.killmails; return 1", "not allowed in a non volatile function"),
        ("volatile", "return 1; perform 2", "unreachable code"),
    ],
    ids=["missing column", "volatility", "dead code"],
)
def test_a_wrong_body_is_found(bare: Database, volatility: str, statement: str, finding: str) -> None:
    bare.execute("create extension plpgsql_check")
    bare.execute(
        f"create function public.entity_stats_wrong() returns integer language plpgsql {volatility} "
        f"as $$ begin {statement}; end $$"
    )
    messages = [message for _, _, _, message, *_ in bare.fetch(FINDINGS)]
    assert any(finding in message for message in messages), messages
