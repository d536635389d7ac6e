"""From an earlier cache, kept by a row trigger, to this one, on a killboard that goes on being written and read."""

from __future__ import annotations

import threading

import psycopg
import pytest

from tests.deploy.catalog import catalog
from tests.fixtures.database import SQL, Database
from tests.fixtures.worlds import Worlds, assert_exact

MIGRATE = SQL / "migrate_from_row_trigger.sql"

METRICS = ("kills", "losses", "iskDestroyed", "iskLost", "soloKills", "soloLosses", "npcKills", "npcLosses")

COUNTERS = ",\n".join(
    f'"{metric}{suffix}" {"numeric" if metric.startswith("isk") else "bigint"} default 0'
    for suffix in ("All", "90d", "30d", "14d")
    for metric in METRICS
)

#: The cache of the specification as a site may have it: six upserts per killmail, in the order of the roles.
EARLIER = f"""
create table public.entity_stats_cache (
    "entityId" bigint, "entityType" text, {COUNTERS},
    "lastKillTime" timestamp, "lastLossTime" timestamp, "updatedAt" timestamp, primary key ("entityId", "entityType")
);
create index idx_entity_stats_cache_type on public.entity_stats_cache ("entityType");
create view public.character_stats as select 1 as one;
create function public.update_entity_stats_on_insert() returns trigger language plpgsql as $$
begin
    if new."topAttackerCharacterId" is not null then
        insert into public.entity_stats_cache as c ("entityId", "entityType", "killsAll", "iskDestroyedAll", "lastKillTime")
        values (new."topAttackerCharacterId", 'character', 1, new."totalValue", new."killmailTime")
        on conflict ("entityId", "entityType") do update
        set "killsAll" = c."killsAll" + 1, "iskDestroyedAll" = c."iskDestroyedAll" + excluded."iskDestroyedAll",
            "lastKillTime" = greatest(c."lastKillTime", excluded."lastKillTime");
    end if;
    if new."victimAllianceId" is not null then
        insert into public.entity_stats_cache as c ("entityId", "entityType", "lossesAll")
        values (new."victimAllianceId", 'alliance', 1)
        on conflict ("entityId", "entityType") do update set "lossesAll" = c."lossesAll" + 1;
    end if;
    return new;
end
$$;
create trigger trigger_update_entity_stats_on_insert after insert on public.killmails
for each row execute function public.update_entity_stats_on_insert();
insert into public.killmails select * from test.killmails(200, 2);
insert into public.entity_stats_cache values (77, 'character'), (78, 'ship'), (79, 'corporation');
update public.entity_stats_cache set "iskLost14d" = 'NaN', "kills14d" = null, "lastKillTime" = '2099-01-01' where "entityId" = 77;
"""


@pytest.fixture
def earlier(source: Database) -> Database:
    """A site with such a cache."""
    source.execute(EARLIER)
    return source


def test_deploy_detects_it_and_says_so(earlier: Database) -> None:
    refused = earlier.psql("-f", SQL / "deploy.sql")
    assert refused.returncode != 0
    for name in (
        "trigger trigger_update_entity_stats_on_insert on killmails",
        "relation public.entity_stats_cache",
        "docs/install.md",
    ):
        assert name in refused.stderr


def test_nothing_to_migrate(source: Database) -> None:
    refused = source.psql("-f", MIGRATE)
    assert refused.returncode != 0
    assert "there is no earlier cache" in refused.stderr
    assert "HINT:  Deploy instead" in refused.stderr
    assert source.value("select to_regnamespace('entity_stats') is null")


@pytest.mark.parametrize("shape", ["partitioned", "plain"], indirect=True)
def test_service_goes_on(earlier: Database) -> None:
    before = earlier.value("select count(*) from public.entity_stats_cache where \"entityType\" <> 'ship'")
    errors: list[str] = []
    stop, sessions = threading.Event(), []

    def repeat(sql: str) -> None:
        try:
            # Prepared statements of `select *` fail once, because the new table's text is collated otherwise: docs/install.md.
            with earlier.connect() as session:
                session.prepare_threshold = None
                while not stop.is_set():
                    session.execute(sql)
                    stop.wait(0.002)
        except psycopg.Error as error:
            errors.append(f"{sql}: {error}")

    earlier.execute("create sequence public.live start 3")
    for sql in (
        'select * from public.entity_stats_cache where "entityId" = 5',
        "insert into public.killmails select * from test.killmails(3, nextval('public.live'))",
    ):
        sessions.append(threading.Thread(target=repeat, args=(sql,)))
        sessions[-1].start()

    done = earlier.psql("-f", MIGRATE)
    assert done.returncode == 0, done.stderr
    assert "backfill()" in done.stdout
    assert earlier.value("select count(*) from public.entity_stats_cache") == before
    assert earlier.value('select count(*) > 0 from public.entity_stats_cache_before where "killsAll" > 0')
    assert not earlier.value("select public.is_stats_cache_populated()")

    earlier.execute("call entity_stats.backfill()")
    stop.set()
    for session in sessions:
        session.join()
    assert errors == []
    assert_exact(earlier)
    assert earlier.fetch('select from public.entity_stats_cache where "entityId" = 77') == []


def test_again_changes_nothing(earlier: Database) -> None:
    for _ in range(2):
        again = earlier.psql("-f", MIGRATE)
        assert again.returncode == 0, again.stderr
    rows = earlier.value("select count(*) from public.entity_stats_cache_before where \"entityType\" <> 'ship'")
    assert earlier.value("select count(*) from public.entity_stats_cache") == rows
    earlier.execute("call entity_stats.backfill()")
    assert earlier.psql("-f", MIGRATE).returncode == 0
    assert_exact(earlier)


def test_migrated_is_as_fresh(earlier: Database, worlds: Worlds) -> None:
    assert earlier.psql("-f", MIGRATE).returncode == 0
    earlier.execute("""
        drop view public.character_stats_before;
        drop function public.update_entity_stats_on_insert_before();
        drop table public.entity_stats_cache_before;
    """)
    with worlds.source() as fresh:
        fresh.load(SQL / "deploy.sql")
        assert catalog(earlier) == catalog(fresh)


def test_a_writer_that_does_not_end_is_waited_for(earlier: Database) -> None:
    writer = earlier.connect(autocommit=False)
    writer.execute("insert into public.killmails select * from test.killmails(1, 99)")
    ended = threading.Timer(2, writer.close)
    ended.start()
    done = earlier.psql("-f", MIGRATE)
    assert done.returncode == 0, done.stderr
    ended.join()
