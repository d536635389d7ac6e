"""Deployment refuses where the cache could not be exact, says what is in the way and what to do, and leaves no trace."""

from __future__ import annotations

import pytest

from tests.deploy.catalog import catalog
from tests.fixtures.database import SQL, Database, Databases

#: What is in the way, and all that the message must say of it.
REFUSALS = {
    "no killmails": (
        "drop table public.killmails cascade",
        ["table public.killmails does not exist in database", "HINT:  Deploy into the killboard's database"],
    ),
    "columns missing": (
        """
        alter table public.killmails rename column "victimAllianceId" to victim_alliance_id;
        alter table public.killmails drop column npc;
        """,
        [
            'columns npc, "victimAllianceId" of killmails are gone',
            'HINT:  To deploy: give killmails npc (boolean), "victimAllianceId" (bigint), names are case-sensitive',
        ],
    ),
    "wrong types": (
        """
        alter table public.killmails alter column "totalValue" type text, alter column solo type integer using solo::integer;
        """,
        [
            "column solo of killmails is integer, not boolean",
            'column "totalValue" of killmails is text, not real or double precision or numeric',
            "HINT:  To deploy: change the type",
        ],
    ),
    "times without zone": (
        """
        drop table public.killmails cascade;
        create table public.killmails as select k.* from test.killmails(3, 1) as k;
        alter table public.killmails alter column "killmailTime" type timestamp;
        """,
        ['"killmailTime" of killmails is timestamp without time zone, not timestamp with time zone'],
    ),
    "a view": (
        """
        alter table public.killmails rename to killmails_of_the_site;
        create view public.killmails as select * from public.killmails_of_the_site;
        """,
        ["changes of public.killmails cannot be captured: it is a view"],
    ),
    "a foreign partition": (
        """
        create foreign data wrapper nowhere;
        create server elsewhere foreign data wrapper nowhere;
        drop table public.killmails cascade;
        create table public.killmails (like test.killmails_source including all) partition by range ("killmailTime");
        create foreign table public.killmails_ancient partition of public.killmails
        for values from ('1990-01-01') to ('2000-01-01') server elsewhere;
        """,
        ["changes of public.killmails_ancient cannot be captured: it is a foreign table"],
    ),
    "heirs": (
        """
        drop table public.killmails cascade;
        create table public.killmails as select k.* from test.killmails(3, 1) as k;
        create table public.killmails_2025 () inherits (public.killmails);
        """,
        ["tables inherit from public.killmails", "HINT:  To deploy: make them partitions"],
    ),
    "row-level security": (
        "alter table public.killmails enable row level security",
        ["row-level security of public.killmails hides killmails"],
    ),
    "an earlier cache": (
        """
        create table public.entity_stats_cache (n integer);
        create function public.update_entity_stats_on_insert() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger trigger_update_entity_stats_on_insert after insert on public.killmails
        for each row execute function public.update_entity_stats_on_insert();
        create materialized view public.alliance_stats as select 1;
        """,
        [
            "objects with the cache's names exist that this project did not create: function update_entity_stats_on_insert(), "
            "relation public.alliance_stats, relation public.entity_stats_cache, "
            "trigger trigger_update_entity_stats_on_insert on ",
            "HINT:  They look like an earlier cache. Rename or drop them",
        ],
    ),
    "a schema of our name": (
        "create schema entity_stats; create table entity_stats.other (n integer)",
        ["did not create: schema entity_stats"],
    ),
    "a subscriber": (
        """
        create subscription feed connection 'dbname=nowhere' publication feed with (connect = false);
        insert into pg_subscription_rel (srsubid, srrelid, srsubstate)
        select s.oid, 'public.killmails'::regclass, 'r' from pg_subscription as s where s.subname = 'feed';
        """,
        [
            "is filled by logical replication, which fires no statement triggers",
            "HINT:  To deploy: deploy the cache on the publisher",
        ],
    ),
}


@pytest.mark.parametrize("obstacle", list(REFUSALS))
def test_refusal(source: Database, obstacle: str) -> None:
    statements, said = REFUSALS[obstacle]
    source.execute("create table test.killmails_source as select * from public.killmails limit 0")
    with source.connect(options="-c search_path=public,test -c allow_system_table_mods=on") as session:
        session.execute(statements)
    before = catalog(source)
    try:
        result = source.psql("-f", SQL / "deploy.sql")
        assert result.returncode != 0
        for text in said:
            assert text in result.stderr
        assert catalog(source) == before
    finally:
        if obstacle == "a subscriber":
            source.execute("alter subscription feed disable")
            source.execute("alter subscription feed set (slot_name = none)")
            source.execute("drop subscription feed")


def test_every_name_of_ours_is_refused(databases: Databases) -> None:
    """Whatever deployment creates in schema public is named when the site has something of that name already."""
    with databases.site() as site, databases.bare() as bare:
        relations = {
            name for (name,) in site.fetch("select relname from pg_class where relnamespace = 'public'::regnamespace")
        }
        relations -= {
            name for (name,) in bare.fetch("select relname from pg_class where relnamespace = 'public'::regnamespace")
        }
        relations -= {name for (name,) in site.fetch("select indexrelid::regclass::text from pg_index")}
        routines = {
            name for (name,) in site.fetch("select proname from pg_proc where pronamespace = 'public'::regnamespace")
        }
        routines -= {
            name for (name,) in bare.fetch("select proname from pg_proc where pronamespace = 'public'::regnamespace")
        }
        for name in relations:
            bare.execute(f"create table public.{name} (n integer)")
        for name in routines:
            bare.execute(f"create function public.{name}(inet) returns integer language sql return 1")
        result = bare.psql("-f", SQL / "deploy.sql")
        assert len(relations) >= 4
        assert len(routines) >= 13
        for name in sorted(relations):
            assert f"relation public.{name}" in result.stderr
        for name in sorted(routines):
            assert f"function {name}(inet)" in result.stderr
