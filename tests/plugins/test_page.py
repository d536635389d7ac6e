"""The page of the Airflow UI, served from real databases in each state that a site can be in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from html import unescape
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.fixtures.database import STRANGER, Database

BEGIN = "call entity_stats.backfill_begin()"


@pytest.fixture
def app() -> Iterator[FastAPI]:
    """The application, whose permissions are Airflow's own and are tested by tests/ui."""
    from entity_stats_page.app import app

    [permission] = [depends.dependency for depends in app.router.dependencies]
    assert permission
    app.dependency_overrides[permission] = lambda: None
    yield app
    app.dependency_overrides.clear()


def text(html: str) -> str:
    """What a reader sees of a page."""
    body = html[html.index("<body ") :]
    body = re.sub(r"<script>.*?</script>", "", body, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def section(html: str, name: str) -> str:
    """What a reader sees of the element with that id, up to the next heading of its kind."""
    [(_, _, after)] = [html.partition(f'id="{name}"')]
    assert after, f"there is no #{name}"
    shown = after.split("<h2>")[1]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", shown.replace("</h2>", ""))).split())


def verdict(html: str) -> str:
    """The word that leads, whose colour is the page's."""
    shown = section(html, "verdict").removeprefix("Can it be trusted? ")
    [word] = [
        word for word in ("Right", "Suspect", "Stale", "Being built", "Empty", "Not known") if shown.startswith(word)
    ]
    tone = {"Right": "good", "Suspect": "bad", "Stale": "bad", "Being built": "busy", "Empty": "warn"}.get(word, "bad")
    assert f'<body class="{tone}">' in html
    assert f'class="card lead {tone}"' in html
    assert f'<span class="badge {tone}">' in html
    return word


@pytest.fixture
def serve(app: FastAPI) -> Callable[..., TestClient]:
    """Serves the page from a database."""
    from entity_stats_page.app import connector

    def serve(conninfo: str) -> TestClient:
        app.dependency_overrides[connector] = lambda: lambda: closing(psycopg.connect(conninfo))
        return TestClient(app)

    return serve


def get(client: TestClient, status: int = 200, **query: str) -> str:
    answer = client.get("/", params=query)
    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"
    html: str = answer.text
    return html


def run_checks(
    database: Database,
    *claims: tuple[str, str, list[dict[str, Any]]],
    finished: bool = True,
    operation: str = "verification",
) -> int:
    """Record a verification as the DAGs do."""
    run: int = database.value("select entity_stats.start_run(%s)", [operation])
    for claim, severity, rows in claims:
        database.execute(
            "insert into entity_stats.check_run (run, claim, severity, offending, sample, duration) values (%s, %s, %s, %s, %s, '12 ms')",
            [run, claim, severity, len(rows), json.dumps(rows)],
        )
    if finished:
        database.execute("select entity_stats.finish_run(%s, 'success')", [run])
    return run


def test_without_login_nothing_is_shown(app: FastAPI) -> None:
    from airflow.api_fastapi.app import create_auth_manager

    create_auth_manager()
    app.dependency_overrides.clear()
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        answer = TestClient(app).get("/", headers=headers)
        assert answer.status_code in (401, 403), answer.text
        assert "Entity stats" not in answer.text


def test_down(serve: Callable[..., TestClient], ready: Database) -> None:
    html = get(serve(ready.conninfo.replace(str(ready.server.port), "1")))
    assert "The killboard database does not answer" in text(html)
    assert "connection" in text(html)


def test_dies_while_it_is_read(serve: Callable[..., TestClient], ready: Database, app: FastAPI) -> None:
    from entity_stats_page.app import connector

    class Dying(psycopg.Connection[Any]):
        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            if "run_history" in str(query):
                ready.execute("select pg_terminate_backend(%s)", [self.info.backend_pid])
            return super().execute(query, *args, **kwargs)

    client = serve(ready.conninfo)
    app.dependency_overrides[connector] = lambda: lambda: closing(Dying.connect(ready.conninfo))
    assert "The killboard database does not answer" in text(get(client))


def test_not_deployed(serve: Callable[..., TestClient], source: Database) -> None:
    html = get(serve(source.conninfo))
    assert "Nothing is deployed in this database" in text(html)
    assert "entity_stats_backfill" in text(html)


def test_deployed_by_an_older_version(serve: Callable[..., TestClient], ready: Database) -> None:
    ready.execute("drop function entity_stats.run_history(integer)")
    assert "older version" in text(get(serve(ready.conninfo)))


def test_no_right(serve: Callable[..., TestClient], ready: Database) -> None:
    html = get(serve(f"{ready.conninfo} user={STRANGER}"))
    assert "grant entity_stats_operator" in text(html)


def test_empty(serve: Callable[..., TestClient], site: Database) -> None:
    html = get(serve(site.conninfo))
    assert verdict(html) == "Empty"
    assert section(html, "as-of").startswith("As of when? Never")
    assert "Not verified yet" in section(html, "failed")


def test_invalidated_says_why(serve: Callable[..., TestClient], ready: Database) -> None:
    ready.execute("truncate public.killmails")
    assert "TRUNCATE of public.killmails" in section(get(serve(ready.conninfo)), "verdict")


def test_backfill_moves(serve: Callable[..., TestClient], source: Database) -> None:
    from tests.fixtures.database import SQL

    source.load(SQL / "deploy.sql")
    client = serve(source.conninfo)
    with source.connect() as session:
        session.execute(BEGIN)
        assert source.fetch("select * from entity_stats.backlog()") == []
        session.execute("insert into public.killmails select * from test.killmails(3, 9)")
        before = get(client)
        assert verdict(before) == "Being built"
        assert "3 facts wait in the ledger: the backfill takes them in." in section(before, "killmails")
        assert "Pending because" not in section(before, "killmails")
        assert "entity_stats_backfill verifies when the cache is ready" in section(before, "failed")
        assert 'data-refresh="3"' in before
        assert "0 of" in section(before, "progress")
        assert "can be estimated after the first slice" in text(before)

        session.execute("call entity_stats.backfill_phase('all', 'character')")
        after = get(client)
        [(done, all_slices)] = re.findall(r"(\d+) of (\d+) slices", section(after, "progress"))
        assert 0 < int(done) < int(all_slices)
        assert f'aria-valuenow="{100 * int(done) / int(all_slices):.1f}"' in after
        assert re.search(r"at this pace they will be done in \d", text(after))
        staged = source.value("select sum(entities) from entity_stats.phase")
        assert staged > 0
        assert f"{staged:,} totals gathered" in text(after)

        session.execute("call entity_stats.backfill()")
    html = get(client)
    assert verdict(html) == "Right"
    assert 'id="progress"' not in html
    assert 'data-refresh="30"' in html  # seconds


def test_rebuild_keeps_ready(serve: Callable[..., TestClient], ready: Database) -> None:
    ready.execute("call entity_stats.backfill_begin(null, true)")
    html = get(serve(ready.conninfo))
    assert verdict(html) == "Right"
    assert "A rebuild is running" in text(html)
    assert section(html, "progress").startswith("Rebuild")
    assert "0 of" in section(html, "progress")


def test_a_night_that_was_missed_leads(serve: Callable[..., TestClient], ready: Database) -> None:
    """Nobody has checked anything since: the clock says so."""
    run_checks(ready, ("cutoffs_are_fresh", "fail", []))
    ready.execute("""update entity_stats.state set "cutoff14d" = "cutoff14d" - interval '4 days'""")
    html = get(serve(ready.conninfo))
    assert verdict(html) == "Stale"
    assert "14d were last aged at" in section(html, "verdict")
    assert "cutoffs_are_fresh : 1 row" in section(html, "failed")


def test_what_was_repaired_is_shown(serve: Callable[..., TestClient], ready: Database) -> None:
    """As a night does it: claims fail, a repair, claims hold."""
    ready.execute(
        """update public.entity_stats_cache set "kills90d" = "kills90d" + 1 where "entityId" = 2 and "entityType" = 'character'"""
    )
    wrong = {"entityId": 2, "entityType": "character"}
    run = run_checks(ready, ("windows_are_exact", "fail", [wrong]), finished=False)
    html = get(serve(ready.conninfo))
    assert verdict(html) == "Suspect"
    assert "windows_are_exact (1 row)" in section(html, "verdict")
    assert f'{{"of_run": {run}}}' in section(html, "claims")

    ready.execute("call entity_stats.repair(%s)", [run])
    assert "not all claims hold" in section(get(serve(ready.conninfo)), "repairs")
    ready.execute(
        "insert into entity_stats.check_run (run, claim, severity, offending, duration) values (%s, 'windows_are_exact', 'fail', 0, '1 s')",
        [run],
    )
    ready.execute("select entity_stats.finish_run(%s, 'failure')", [run])
    html = get(serve(ready.conninfo))
    assert verdict(html) == "Right"
    assert "repaired 1 entity" in section(html, "verdict")
    repaired = section(html, "repairs")
    assert "1 figure of 1 entity all claims hold again Claims that had failed: windows_are_exact." in repaired
    cached, actual = ready.fetch("select cached, actual from entity_stats.correction")[0]
    assert f"character 2 kills90d {cached} {actual}" in repaired


def test_ready_shows_as_of(serve: Callable[..., TestClient], ready: Database) -> None:
    shown = section(get(serve(ready.conninfo)), "as-of")
    [(as_of,)] = ready.fetch(
        "select distinct to_char(\"asOf\" at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC') from entity_stats.windows()"
    )
    assert f"90d, 30d, 14d {as_of} all every commit" in shown

    ready.execute("""update entity_stats.state set "cutoff14d" = "cutoff14d" - interval '1 hour'""")
    shown = section(get(serve(ready.conninfo)), "as-of")
    assert f"90d, 30d {as_of}" in shown
    assert f"14d {as_of}" not in shown


def test_failing_claim_with_its_rows(serve: Callable[..., TestClient], ready: Database) -> None:
    run_checks(
        ready,
        ("windows_are_nested", "fail", [{"entityId": 99003581, "entityType": "alliance", "kills14d": "<b>9</b>"}]),
        ("dead_rows_are_few", "warn", [{"dead": 5}]),
        ("values_are_finite", "fail", []),
    )
    html = get(serve(ready.conninfo))
    assert section(html, "failed").startswith("What failed? 1 claim windows_are_nested : 1 row")
    assert "1 warning: dead_rows_are_few" in section(html, "failed")
    claims = section(html, "claims")
    assert "entityType entityId kills14d alliance 99003581 <b>9</b>" in claims
    assert '<a href="?entity=99003581#lookup">' in html
    assert "&lt;b&gt;9&lt;/b&gt;" in html  # what is in the database is text, never HTML
    assert "What to do:" in claims
    assert claims.index("windows_are_nested") < claims.index("dead_rows_are_few")
    assert html.index('id="claims"') < html.index('id="lookup"'), "what fails comes first"


def test_repaired_claim_holds_again(serve: Callable[..., TestClient], ready: Database) -> None:
    run_checks(ready, ("windows_are_nested", "fail", [{"entityId": 1}]), ("windows_are_nested", "fail", []))
    html = get(serve(ready.conninfo))
    assert section(html, "failed").startswith("What failed? Nothing")
    assert html.index('id="claims"') > html.index('id="lookup"')


def test_running_verification_replaces_the_last_one_by_and_by(
    serve: Callable[..., TestClient], ready: Database
) -> None:
    run_checks(ready, ("a_holds", "fail", []), ("b_holds", "fail", []))
    run_checks(ready, ("a_holds", "fail", [{"id": 1}]), finished=False)
    html = get(serve(ready.conninfo))
    assert "a_holds : 1 row" in section(html, "failed")
    assert "b_holds holds" in section(html, "claims")


def test_failed_run(serve: Callable[..., TestClient], ready: Database) -> None:
    for outcome in ("success", "failure"):
        run = ready.value("select entity_stats.start_run('cleanup', airflow_run => 'scheduled__1')")
        ready.execute(
            "select entity_stats.finish_run(%s, %s, %s, %s)",
            [run, outcome, json.dumps({"Ageing": ["Aged 5"]}), ["age.90d"]],
        )
    html = get(serve(ready.conninfo), dag_id="entity_stats_daily_cleanup", run_id="scheduled__1")
    assert section(html, "failed").startswith("What failed? 1 run the last cleanup")
    assert "../dags/entity_stats_daily_cleanup/runs/scheduled__1" in html
    assert "Aged 5" in section(html, "this-run")
    assert "Failed: age.90d" in section(html, "this-run")
    assert html.count('class="bar bad"') == 1
    assert "/runs/scheduled__1/plugin/entity-stats-run" in html

    # Whoever proves that every claim holds ends it.
    run_checks(ready, ("windows_are_exact", "fail", []), operation="verify")
    assert section(get(serve(ready.conninfo)), "failed").startswith("What failed? Nothing")


def test_unknown_run_and_foreign_dag(serve: Callable[..., TestClient], ready: Database) -> None:
    client = serve(ready.conninfo)
    html = get(client, dag_id="entity_stats_verify", run_id="<i>x</i>")
    assert "The cache has no record of <i>x</i>" in text(html)
    html = get(client, dag_id="someone_elses")
    assert "is not one of this project's" in text(html)
    assert verdict(html) == "Right"


def test_growth(serve: Callable[..., TestClient], ready: Database) -> None:
    for entities in (1000, 1234567):
        run = ready.value("select entity_stats.start_run('cleanup')")
        ready.execute("select entity_stats.finish_run(%s, 'success')", [run])
        ready.execute(
            'update entity_stats.run set characters = %s, corporations = 7, alliances = 3, "sizeBytes" = %s where run = %s',
            [entities, 1536 * entities, run],
        )
    growth = section(get(serve(ready.conninfo)), "growth")
    assert "Characters 1,234,567" in growth
    assert "Size 1.8 GB" in growth


def test_pending_killmails(serve: Callable[..., TestClient], ready: Database) -> None:
    with ready.connect() as session:
        session.execute("set entity_stats.fold = 'deferred'")
        session.execute("""
            insert into public.killmails select * from test.killmails(60, 9)
        """)
        session.execute("""update public.killmails set "killmailTime" = now() where "killmailId" = 9000001""")
    html = get(serve(ready.conninfo))
    pending = ready.value("select pending from entity_stats.status()")
    assert f"{pending:,} facts wait in the ledger" in section(html, "killmails")
    assert "deferred" in section(html, "killmails")
    assert 'class="bar part"' in html


def test_look_up(serve: Callable[..., TestClient], ready: Database) -> None:
    client = serve(ready.conninfo)
    [entity] = ready.fetch("""select max("entityId") from public.entity_stats_cache where "entityType" = 'alliance'""")[
        0
    ]
    shown = section(get(client, entity=str(entity)), "lookup")
    for kind in ("Character", "Corporation", "Alliance"):
        assert f"{kind} {entity}" in shown
    for of_type in ("character", "corporation", "alliance"):
        for figure, name in (("kills", "Kills"), ("losses", "Losses"), ('"soloKills"', "Solo kills")):
            values = ready.fetch(
                f'select (l.stats).{figure} from entity_stats.lookup(%s) as l where (l.stats)."entityType" = %s',
                [entity, of_type],
            )
            assert len(values) == 4
            assert f"{name} {' '.join(f'{value:,}' for (value,) in values)}" in shown
    assert f'{{"entity_ids": [{entity}], "entity_type": "alliance"}}' in shown
    assert "No killmail in this database names 424242" in text(get(client, entity="424,242"))


def bars(html: str, chart: str) -> list[tuple[str, str, float, float]]:
    """Of the first chart of that class: what each bar says, where it is from, and how high it is, up and down."""
    svg = html.split(f'class="chart {chart}"')[1].split("</svg>")[0]
    found = re.findall(
        r"<title>(.+?): (.+?)</title>.*?bar up\".*?height=\"(.+?)\".*?bar part down\".*?height=\"(.+?)\"",
        svg,
        flags=re.DOTALL,
    )
    return [(name, said, float(up), float(down)) for name, said, up, down in found]


def test_months_and_years_of_an_entity(serve: Callable[..., TestClient], ready: Database) -> None:
    """Kills up and losses down in one scale, a bar for each month, with and without a history that is kept."""
    ready.execute("""
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "totalValue", npc, solo)
        select 77, date_trunc('year', now() at time zone 'UTC') at time zone 'UTC' - interval '5 years', 2, 5, false, false
    """)
    for _ in ("from killmails", "from rows"):
        html = get(serve(ready.conninfo), entity="2")
        html = html[html.index('id="character"') :]
        months = bars(html, "months")
        history = ready.fetch(
            """
            select to_char(m, 'Mon YYYY'), coalesce(h.kills, 0), coalesce(h.losses, 0)
            from generate_series(
                date_trunc('month', now() at time zone 'UTC') - interval '23 months', now() at time zone 'UTC', interval '1 month'
            ) as m
            left join public.get_entity_history_from_view(2, 'character', 'month') as h on m::date = h.date
            order by m
            """
        )
        assert [(name, said) for name, said, _, _ in months] == [
            (name, f"{kills:,} kill{'s' * (kills != 1)}, {losses:,} loss{'es' * (losses != 1)}")
            for name, kills, losses in history
        ]
        scale = max(kills for _, kills, _ in history) + max(losses for _, _, losses in history)
        for (_, _, up, down), (_, kills, losses) in zip(months, history, strict=True):
            assert up == pytest.approx(100 * kills / scale, abs=0.01)
            assert down == pytest.approx(100 * losses / scale, abs=0.01)

        years = bars(html, "years")
        [(kills, losses)] = ready.fetch("select kills, losses from public.get_entity_stats(2, 'character', 'all')")
        said = [re.findall(r"\d[\d,]*", said) for _, said, _, _ in years]
        assert [sum(int(part[side].replace(",", "")) for part in said) for side in (0, 1)] == [kills, losses]
        assert said[0] == ["0", "1"]
        assert len(years) == 6  # also those between, of which there is nothing
        first = ready.value("""select min("killmailTime") at time zone 'UTC' from public.killmails""")
        assert f"Loss {first:%Y-%m-%d %H:%M:%S}" in text(f"<body {html}")
        ready.execute("call entity_stats.fill_history()")


def test_a_history_that_is_being_filled(serve: Callable[..., TestClient], ready: Database) -> None:
    assert 'id="filling"' not in get(serve(ready.conninfo))
    ready.execute("call entity_stats.fill_history()")
    assert 'id="filling"' not in get(serve(ready.conninfo))
    ready.execute("""update entity_stats.history set "closedTo" = "closedTo" - 100""")
    percent = ready.value("select percent from entity_stats.history_progress()")
    assert 0 < percent < 100
    assert f"{percent} % of the days" in section(get(serve(ready.conninfo)), "filling")


def test_ranks_and_how_they_moved(serve: Callable[..., TestClient], ready: Database) -> None:
    ready.execute("call entity_stats.rank_entities()")
    html = get(serve(ready.conninfo), entity="2")
    shown = text("<body " + html[html.index('id="character"') :])
    ranks = {
        (metric, period): (rank, ranked)
        for metric, period, rank, ranked in ready.fetch("""
            select r.metric, w.period, r.rank, r.ranked
            from entity_stats.time_window as w
            cross join lateral public.get_entity_rank(2, 'character', w.period) as r
        """)
    }
    for metric, name in (("kills", "kills"), ("isk", "ISK"), ("efficiency", "efficiency")):
        row = shown.split(f"Rank, {name} ")[1]
        for period in ("all", "90d", "30d", "14d"):
            rank, ranked = ranks.get((metric, period), (None, None))
            words = f"{rank} of {ranked}" if rank else "-"
            assert row.startswith(words)
            row = re.sub(r"^( ?(new|[▲▼]\d+))? ?", "", row.removeprefix(words))

    # Whoever gets kills moves up.
    rank = ready.value(
        "select max(r.rank) from public.get_entity_rank(5, 'character', 'all') as r where r.metric = 'kills'"
    )
    assert rank > 1
    ready.execute("""
        insert into public.killmails ("killmailId", "killmailTime", "topAttackerCharacterId", "totalValue", npc, solo)
        select 700 + n, now(), 5, 5, false, false from generate_series(1, 500) as n
    """)
    html = get(serve(ready.conninfo), entity="5")
    assert f"{rank - 1} places gained since" in html or (rank == 2 and "1 place gained since" in html)
    assert f"▲{rank - 1}" in html


def test_top_lists_lead_to_the_look_up(serve: Callable[..., TestClient], ready: Database) -> None:
    npc = 1000125
    ready.execute(
        """
        insert into public.killmails ("killmailId", "killmailTime", "topAttackerCorporationId", "totalValue", npc, solo)
        select 700 + n, now(), %s, 5, true, false from generate_series(1, 500) as n
        """,
        [npc],
    )
    client = serve(ready.conninfo)
    for period, by in (("all", "kills"), ("30d", "isk"), ("14d", "efficiency")):
        html = get(client, top=period, by=by)
        assert str(npc) not in html[html.index('id="top"') :]
        for of_type in ("character", "corporation", "alliance"):
            listed = re.findall(
                r'href="\?([^"]*entity=(\d+)[^"]*)#lookup"',
                html.split(f'id="top-{of_type}"')[1].split("</table>")[0],
            )
            best = ready.fetch(
                'select "entityId"::text from public.get_top_entities_from_cache(%s, %s, %s)',
                [of_type, period, by],
            )
            assert best
            assert [entity for _, entity in listed] == [entity for (entity,) in best]
            assert all((f"top={period}" in query) == (period != "all") for query, _ in listed)
    assert "unknown period: 2d" in section(get(client, top="2d"), "top")


def test_lists_wait_for_the_cache(serve: Callable[..., TestClient], site: Database) -> None:
    assert "when it is ready" in section(get(serve(site.conninfo)), "top")


def test_a_figure_is_explained_down_to_its_killmails(serve: Callable[..., TestClient], ready: Database) -> None:
    client = serve(ready.conninfo)
    query = {"entity": "2", "explain": "character", "period": "90d"}
    html = get(client, 200, **query)
    link = "?entity=2&amp;explain=character&amp;period=90d#explain"
    assert f'href="{link}"' in get(client, entity="2")
    shown = text("<body " + html[html.index('id="explain"') :])
    kills = ready.value("select kills from public.get_entity_stats(2, 'character', '90d')")
    assert f"Kills {kills} 0 = {kills}" in shown
    assert "has not been compared cell by cell yet" in shown
    assert 'data-refresh="300"' in html  # whoever reads killmails is not disturbed

    # All pages together are the killmails of the period, each once.
    listed: list[tuple[Any, ...]] = []
    while True:
        table = html.partition('id="counted"')[2].split("</table>")[0]
        listed += re.findall(r"<td>(\d+)</td><td>(kill|loss)</td>", table)
        older = re.search(r'href="([^"]+)">older', html)
        if not older:
            break
        answer = client.get("/" + unescape(older[1]))
        assert answer.status_code == 200
        html = answer.text
    counted = ready.fetch(
        "select \"killmailId\"::text, side from public.get_counted_killmails(2, 'character', '90d', 100000)"
    )
    assert listed == counted
    assert len(counted) > 20

    # What a hand has changed differs, and the checks say since when it is known.
    ready.execute(
        """update public.entity_stats_cache set "kills90d" = "kills90d" + 1 where "entityId" = 2 and "entityType" = 'character'"""
    )
    run_checks(
        ready, ("characters_are_exact", "fail", [{"entityId": 2, "entityType": "character", "wrong": "kills90d"}])
    )
    html = get(client, 200, **query)
    shown = text("<body " + html[html.index('id="explain"') :])
    assert f"Kills {kills + 1} 0 ≠ {kills}" in shown
    assert html.count('class="differs"') == 1
    assert "was wrong characters_are_exact found this" in shown


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"explain": "planet"}, "unknown entity type: planet"),
        ({"explain": "alliance", "period": "2d"}, "unknown period: 2d"),
        ({"explain": "alliance", "before_time": "noon-ish", "before_id": "1"}, "invalid input syntax"),
        ({"explain": "alliance", "before_time": "2026-01-01"}, "a page begins before a time and an id"),
    ],
)
def test_what_cannot_be_explained_says_why(
    serve: Callable[..., TestClient], ready: Database, query: dict[str, str], said: str
) -> None:
    html = get(serve(ready.conninfo), 200, entity="2", **query)
    assert said in text(html)
    assert verdict(html) == "Right"


@pytest.mark.parametrize("typed", ["abc", "-5", "0", "1e3", "9223372036854775808", "'; drop table x", "<script>"])
def test_bad_ids(serve: Callable[..., TestClient], ready: Database, typed: str) -> None:
    html = get(serve(ready.conninfo), status=422, entity=typed)
    assert "is no id" in section(html, "lookup")
    assert "<script>x" not in html
    assert verdict(html) == "Right"


def test_session_is_read_only_and_limited(serve: Callable[..., TestClient], ready: Database) -> None:
    from entity_stats_page import report

    with closing(psycopg.connect(ready.conninfo, options="-c statement_timeout=0")) as session:
        report._restrict(session)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            session.execute("select entity_stats.start_run('cleanup')")
        [limit] = session.execute("show statement_timeout").fetchone().values()  # type: ignore[union-attr]
        assert limit == f"{report.STATEMENT_TIMEOUT}s"


def test_a_part_that_cannot_be_read_leaves_the_others(serve: Callable[..., TestClient], ready: Database) -> None:
    with ready.connect(autocommit=False) as session:
        session.execute("lock table public.killmails in access exclusive mode")
        html = get(serve(ready.conninfo))
    assert "This part could not be read: canceling statement due to lock timeout" in section(html, "killmails")
    assert verdict(html) == "Right"


def test_reads_do_not_wait_for_the_gate(serve: Callable[..., TestClient], ready: Database) -> None:
    with ready.connect(autocommit=False) as session:
        session.execute("select entity_stats.close_gate()")
        assert verdict(get(serve(ready.conninfo))) == "Right"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0.0123, "12 ms"),
        (5, "5.0 s"),
        (75, "1 min 15 s"),
        (7260, "2 h 1 min"),
        (90000, "1 d 1 h"),
        (60, "1 min"),
    ],
)
def test_spans(seconds: float | None, shown: str) -> None:
    from entity_stats_page.app import span

    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (999.9, "1.00 k"),
        (12345, "12.3 k"),
        (999_499, "999 k"),
        (1.5e9, "1.50 B"),
        (2.345e14, "234 T"),
    ],
)
def test_short_amounts(amount: float, shown: str) -> None:
    from entity_stats_page.app import short

    assert short(amount) == shown
