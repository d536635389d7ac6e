"""The page as operators see it: in the Airflow UI, in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import BrowserContext, FrameLocator, Page, expect

from local.airflow_server import AirflowServer
from local.server import free_port
from tests.fixtures.database import SQL, Database
from tests.ui.conftest import status

NAME = "Entity stats cache"
CLEANUP, RECALCULATE = "entity_stats_daily_cleanup", "entity_stats_recalculate"
Point = Callable[..., None]


def framed(page: Page) -> FrameLocator:
    """The page inside the Airflow UI."""
    return page.frame_locator(f'iframe[title="{NAME}"]')


def open_nav(page: Page, airflow: AirflowServer) -> FrameLocator:
    page.goto(f"{airflow.url}/plugin/entity-stats")
    frame = framed(page)
    expect(frame.locator("h1")).to_contain_text(NAME)
    return frame


def fail_a_claim(database: Database) -> None:
    run = database.value("select entity_stats.start_run('verification')")
    rows = [{"entityId": 99003581, "entityType": "alliance", "kills14d": 9, "kills30d": 5}]
    for claim, severity, sample in (
        ("windows_are_nested", "fail", rows),
        ("dead_rows_are_few", "warn", [{"dead": 12345}]),
    ):
        database.execute(
            "insert into entity_stats.check_run (run, claim, severity, offending, sample, duration) "
            "values (%s, %s, %s, 1, %s, '1 s')",
            [run, claim, severity, json.dumps(sample)],
        )
    database.execute("select entity_stats.finish_run(%s, 'failure')", [run])


def test_entry_in_the_navigation(page: Page, airflow: AirflowServer, point: Point, ready: Database) -> None:
    point(ready)
    page.goto(airflow.url)
    page.get_by_text("Browse", exact=True).click()
    page.get_by_text(NAME, exact=True).click()
    frame = framed(page)
    expect(frame.locator("#verdict .big")).to_have_text("Right")
    expect(frame.locator("#as-of")).to_contain_text("UTC")
    expect(frame.locator("#failed .big")).to_have_text("Not verified yet")


def test_first_screen_answers_the_questions(page: Page, airflow: AirflowServer, point: Point, ready: Database) -> None:
    fail_a_claim(ready)
    point(ready)
    frame = open_nav(page, airflow)
    for name in ("#verdict", "#schedule", "#as-of", "#failed"):
        expect(frame.locator(name)).to_be_in_viewport(ratio=1)

    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{airflow.url}/entity-stats/")
    expect(page.locator("#next-cleanup")).to_be_visible()
    for name in ("#verdict", "#schedule", "#as-of", "#failed"):
        expect(page.locator(name)).to_be_in_viewport(ratio=1)


def test_tab_on_a_dag_and_on_a_run(page: Page, airflow: AirflowServer, point: Point, ready: Database) -> None:
    point(ready)
    body: dict[str, Any] = {"logical_date": None, "conf": {}}
    run_id = airflow.api.post("/api/v2/dags/entity_stats_backfill/dagRuns", body)["dag_run_id"]
    run = ready.value("select entity_stats.start_run('backfill', airflow_run => %s)", [run_id])
    ready.execute("select entity_stats.finish_run(%s, 'success', %s)", [run, json.dumps({"Phase 1": ["Backfilled 7"]})])

    page.goto(f"{airflow.url}/dags/entity_stats_backfill")
    page.get_by_role("link", name=NAME).click()
    expect(framed(page).locator("#verdict .big")).to_have_text("Right")

    page.goto(f"{airflow.url}/dags/entity_stats_backfill/runs/{run_id}")
    page.get_by_role("link", name=NAME).click()
    expect(framed(page).locator("#this-run")).to_contain_text("Backfilled 7")


def width(frame: FrameLocator) -> float:
    """How wide the bar of the progress is, in pixels."""
    return float(frame.locator(".meter div").evaluate("(bar) => bar.getBoundingClientRect().width"))


def test_backfill_moves_by_itself(page: Page, airflow: AirflowServer, point: Point, source: Database) -> None:
    source.load(SQL / "deploy.sql")
    source.execute("call entity_stats.backfill_begin()")
    point(source)
    frame = open_nav(page, airflow)
    slices = source.value("select slices from entity_stats.progress()")
    expect(frame.locator("#slices")).to_have_text(f"0 of {slices}")
    widths = [width(frame)]

    for entity_type in ("character", "corporation"):
        source.execute("call entity_stats.backfill_phase('all', %s)", [entity_type])
        done = source.value("select done from entity_stats.progress()")
        expect(frame.locator("#slices")).to_have_text(f"{done} of {slices}")
        expect(frame.locator("#estimate")).to_be_visible()
        widths.append(width(frame))
    assert 0 == widths[0] < widths[1] < widths[2]

    source.execute("call entity_stats.backfill()")
    expect(frame.locator("#verdict .big")).to_have_text("Right")
    expect(frame.locator("#progress")).to_have_count(0)


def test_failing_claim_is_shown_with_its_rows(
    page: Page, airflow: AirflowServer, point: Point, ready: Database
) -> None:
    fail_a_claim(ready)
    point(ready)
    frame = open_nav(page, airflow)
    frame.locator("#failed a", has_text="windows_are_nested").click()
    claim = frame.locator("#claim-windows_are_nested")
    expect(claim).to_be_in_viewport()
    expect(claim.locator("tbody tr")).to_have_count(1)
    expect(claim.locator("tbody")).to_contain_text("99003581")
    expect(claim).to_contain_text("What to do:")

    # A warning lies closed until somebody wants to see it.
    warning = frame.locator("#claim-dead_rows_are_few")
    expect(warning).to_be_hidden()
    frame.locator("#failed a", has_text="dead_rows_are_few").click()
    expect(warning).to_be_in_viewport()
    expect(warning).to_contain_text("12345")


def test_look_up(page: Page, airflow: AirflowServer, point: Point, ready: Database) -> None:
    point(ready)
    frame = open_nav(page, airflow)
    frame.locator("#entity").fill("2")
    frame.get_by_role("button", name="Look up").click()
    expect(frame.locator("article.entity")).to_have_count(3)
    kills = ready.value("select kills from public.get_entity_stats(2, 'character', 'all')")
    expect(frame.locator("#character .figures .kills td").first).to_have_text(f"{kills:,}")


#: The brightness of a colour as WCAG has it, and from it the contrast of an element's colour with what lies behind it.
CONTRAST = """
(element, property) => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const luminance = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let behind = element.parentElement;
    const background = () => getComputedStyle(behind).backgroundColor;
    while (["rgba(0, 0, 0, 0)", "transparent"].includes(background())) behind = behind.parentElement;
    const [dark, light] = [luminance(getComputedStyle(element)[property]), luminance(background())].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
}
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_an_entity_and_the_lists_on_every_screen(
    page: Page, airflow: AirflowServer, point: Point, ready: Database, device: str, theme: Literal["light", "dark"]
) -> None:
    """Bars, ranks, lists and the explanation: there, readable, and on a phone an entity is one screen."""
    ready.execute("""
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "totalValue", npc, solo)
        select 70 + n, now() - n * interval '1 year', 77, 1e12, false, false from generate_series(1, 8) as n
    """)
    ready.execute("call entity_stats.rank_entities()")
    ready.execute("""
        insert into public.killmails ("killmailId", "killmailTime", "topAttackerCharacterId", "totalValue", npc, solo)
        select 700 + n, now(), 77, 5e12, false, false from generate_series(1, 500) as n
    """)
    point(ready)
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": 390, "height": 844} if device == "phone" else {"width": 1280, "height": 900})
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

    page.goto(f"{airflow.url}/entity-stats/")
    place = page.locator("#top-character tbody tr", has=page.get_by_role("link", name="77", exact=True))
    expect(place.locator("td").first).to_have_text("1")
    place.get_by_role("link").click()
    entity = page.locator("article.entity")
    expect(entity).to_have_count(1)
    for chart, bars in (("months", 24), ("years", 9)):
        expect(entity.locator(f".{chart} .bar.up")).to_have_count(bars)
    highest = entity.locator(".months g").last
    expect(highest.locator(".bar.up")).to_be_visible()
    assert re.search(r": 500 kills, ", highest.locator("title").text_content() or "")
    expect(entity.locator(".rank-kills td").first).to_contain_text("1")
    expect(entity.locator(".rank-kills td").first.locator(".moved.up")).to_contain_text("▲")
    for what, at_least, how in (
        (entity.locator(".months .bar.up").last, 3, "fill"),
        (entity.locator(".years .bar.down").first, 3, "fill"),
        (entity.locator(".moved.up").first, 4.5, "color"),
        (entity.locator(".ticks span").first, 4.5, "color"),
        (entity.locator(".why a").first, 4.5, "color"),
        (page.locator("#top .quiet").last, 4.5, "color"),
    ):
        assert what.evaluate(CONTRAST, how) >= at_least, what
    if device == "phone":
        box = page.locator("#lookup").bounding_box()
        assert box
        assert box["height"] <= 844
    assert page.evaluate(overflow) == 0

    entity.get_by_role("link", name="explain character 30d").click()
    explained = page.locator("#explain")
    expect(explained.locator("h3")).to_be_in_viewport()
    expect(explained.locator("tr", has_text="Kills").first).to_contain_text("=")
    expect(explained.locator("#counted tbody tr")).to_have_count(20)
    newest = explained.locator("#counted tbody tr td:nth-child(2)").first.inner_text()
    assert page.evaluate(overflow) == 0
    explained.get_by_role("link", name="older").click()
    expect(explained.locator("#counted tbody tr")).to_have_count(20)
    expect(explained.locator("#counted")).not_to_contain_text(newest)
    explained.get_by_role("link", name="newest").click()
    expect(explained.locator("#counted")).to_contain_text(newest)
    explained.get_by_role("link", name="close").click()
    expect(page.locator("#explain")).to_have_count(0)

    # A list keeps its place when the period changes, and the entity stays.
    page.locator("#top").get_by_role("link", name="14d").click()
    expect(page.locator("#top [aria-current]").first).to_have_text("14d")
    page.locator("#top").get_by_role("link", name="solo kills").click()
    expect(page.locator("#top [aria-current]").last).to_have_text("solo kills")
    expect(page.locator("#top [aria-current]").first).to_have_text("14d")
    expect(entity).to_have_count(1)


def test_deep_links(page: Page, airflow: AirflowServer, point: Point, ready: Database) -> None:
    """The addresses that docs/runbook.md gives: an entity, and what its figures are made of."""
    point(ready)
    page.goto(f"{airflow.url}/entity-stats/?entity=2#lookup")
    expect(page.locator("#character h3")).to_be_in_viewport()
    expect(page.locator("#explain")).to_have_count(0)
    page.goto(f"{airflow.url}/entity-stats/?entity=2&explain=character&period=30d#explain")
    expect(page.locator("#explain h3")).to_be_in_viewport()
    expect(page.locator("#explain h3")).to_contain_text("Character 2, 30d")


def test_bad_id_is_refused(context: BrowserContext, airflow: AirflowServer, point: Point, ready: Database) -> None:
    point(ready)
    page = context.new_page()  # the answer is an error, which the console tells
    frame = open_nav(page, airflow)
    frame.locator("#entity").fill("Goonswarm")
    frame.get_by_role("button", name="Look up").click()
    expect(frame.get_by_role("alert")).to_contain_text("is no id")


def pause(airflow: AirflowServer, dag_id: str, paused: bool) -> None:
    airflow.api.patch(f"/api/v2/dags/{dag_id}", {"is_paused": paused})


def test_recalculation_shows_its_run_and_the_new_figures(
    page: Page, airflow: AirflowServer, point: Point, ready: Database
) -> None:
    pause(airflow, RECALCULATE, True)
    point(ready)
    kills = ready.value("select kills from public.get_entity_stats(2, 'character', 'all')")
    ready.execute(
        """update public.entity_stats_cache set "killsAll" = 987654 where "entityId" = 2 and "entityType" = 'character'"""
    )
    frame = open_nav(page, airflow)
    frame.locator("#entity").fill("2")
    frame.get_by_role("button", name="Look up").click()
    total = frame.locator("#character .figures .kills td").first
    expect(total).to_have_text("987,654")
    frame.locator("#recalculate-character summary").click()
    button = frame.get_by_role("button", name="Recalculate this character")
    button.click()
    said = frame.locator("output", has_text="manual__")
    expect(said).to_contain_text(f"it waits, because {RECALCULATE} is paused")
    expect(button).to_be_disabled()
    pause(airflow, RECALCULATE, False)
    expect(said).to_contain_text("success")
    expect(total).to_have_text(f"{kills:,}")
    expect(button).to_be_enabled()
    expect(frame.locator("#repairs")).to_contain_text("killsAll")
    [run] = airflow.api.get(f"/api/v2/dags/{RECALCULATE}/dagRuns")["dag_runs"]
    assert run["conf"]["entity_ids"] == [2]


def test_what_is_listed_is_repaired(page: Page, airflow: AirflowServer, point: Point, ready: Database) -> None:
    pause(airflow, RECALCULATE, False)
    ready.execute(
        """update public.entity_stats_cache set "kills14d" = "kills30d" + 1 where "entityId" = 2 and "entityType" = 'character'"""
    )
    assert ready.psql("-f", str(SQL / "check.sql")).returncode == 3
    point(ready)
    frame = open_nav(page, airflow)
    expect(frame.locator("#verdict .big")).to_have_text("Suspect")
    expect(frame.locator("#verdict")).to_contain_text("windows_are_nested (1 row)")
    frame.get_by_role("button", name="Repair what is listed").click()
    expect(frame.locator("#verdict .big")).to_have_text("Right")


def test_what_runs_is_due_and_paused(page: Page, airflow: AirflowServer, point: Point, ready: Database) -> None:
    point(ready)
    pause(airflow, CLEANUP, True)
    frame = open_nav(page, airflow)
    expect(frame.locator("#next-cleanup")).to_have_text(f"No cleanup is due: {CLEANUP} is paused.")
    expect(frame.locator("#paused")).to_contain_text(CLEANUP)
    pause(airflow, CLEANUP, False)
    page.reload()
    expect(framed(page).locator("#next-cleanup")).to_contain_text("02:00 UTC")
    expect(framed(page).locator("#paused")).not_to_contain_text(CLEANUP)
    pause(airflow, CLEANUP, True)


def test_the_font_is_airflows(page: Page, airflow: AirflowServer, point: Point, ready: Database) -> None:
    point(ready)
    font = "(body) => getComputedStyle(body).fontFamily"
    assert open_nav(page, airflow).locator("body").evaluate(font) == page.locator("body").evaluate(font)


#: What each form's help says to type, by param; and what the run gets.
FORMS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    RECALCULATE: (
        {"entity_ids": "99003581\n98000001", "active_days": "30", "as_of": "2025/11/24 02:00"},
        {"entity_type": "character", "entity_ids": "99003581\n98000001", "active_days": 30, "of_run": None},
    ),
    "entity_stats_backfill": ({"as_of": "2025/11/24 02:00"}, {"rebuild": False, "full_verify": False, "history": True}),
    CLEANUP: ({"as_of": "2025/11/24 02:00"}, {}),
    "entity_stats_verify": ({"as_of": "2025/11/24 02:00"}, {}),
}


@pytest.mark.parametrize("dag_id", FORMS)
@pytest.mark.parametrize("filled", [False, True], ids=["as it comes", "filled in"])
def test_forms_take_what_their_help_says(page: Page, airflow: AirflowServer, dag_id: str, filled: bool) -> None:
    typed, conf = FORMS[dag_id]
    pause(airflow, dag_id, True)
    before = {run["dag_run_id"] for run in airflow.api.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]}
    page.goto(f"{airflow.url}/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.locator("[role=dialog][data-state=open]")
    as_of = form.get_by_text("Select date and time")
    expect(as_of).to_be_visible()
    expect(form.get_by_text("null", exact=True)).to_have_count(0)
    for name, value in typed.items() if filled else ():
        if name == "as_of":
            as_of.click()
            for placeholder, part in zip(("YYYY/MM/DD", "HH:mm"), value.split(), strict=True):
                page.get_by_placeholder(placeholder).fill(part)
                page.get_by_placeholder(placeholder).press("Tab")
            page.keyboard.press("Escape")
            continue
        field = form.locator(f"[name=element_{name}]")
        field.fill(value)
        field.press("Tab")
    form.get_by_text(re.compile("Unpause")).click()
    form.get_by_role("button", name="Trigger", exact=True).click()
    expect(form).to_have_count(0)
    [run] = [
        run for run in airflow.api.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"] if run["dag_run_id"] not in before
    ]
    if filled:
        assert datetime.fromisoformat(run["conf"].pop("as_of")).isoformat() == "2025-11-24T02:00:00+00:00"
        assert run["conf"] == conf
    else:
        assert run["conf"]["as_of"] is None
        assert not run["conf"].get("entity_ids")


def test_links_leave_the_frame(page: Page, airflow: AirflowServer, point: Point, source: Database) -> None:
    point(source)
    frame = open_nav(page, airflow)
    frame.get_by_role("link", name="entity_stats_backfill").click()
    page.wait_for_url(f"{airflow.url}/dags/entity_stats_backfill*")


def test_anonymous_gets_401_and_a_viewer_the_page(guarded: str, point: Point, ready: Database) -> None:
    point(ready)
    assert status(f"{guarded}/entity-stats/") == 401
    login = Request(  # noqa: S310
        f"{guarded}/auth/token",
        data=json.dumps({"username": "eve", "password": "sees"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(login, timeout=30) as answer:  # noqa: S310
        token = json.load(answer)["access_token"]
    assert status(f"{guarded}/entity-stats/", token) == 200


def test_database_down(page: Page, airflow: AirflowServer, point: Point, ready: Database) -> None:
    point(ready, port=free_port())
    frame = open_nav(page, airflow)
    expect(frame.locator("#problem h2")).to_have_text("The killboard database does not answer")
    expect(frame.locator("#problem")).to_contain_text("What to do:")
    point(ready)
    page.reload()
    expect(framed(page).locator("#verdict .big")).to_have_text("Right")


@pytest.mark.parametrize("state", ["ready", "down", "undeployed"])
def test_no_overflow_on_a_narrow_screen(
    page: Page, airflow: AirflowServer, point: Point, ready: Database, source: Database, state: str
) -> None:
    fail_a_claim(ready)
    point(source if state == "undeployed" else ready, **({"port": free_port()} if state == "down" else {}))
    page.set_viewport_size({"width": 390, "height": 800})
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    page.goto(f"{airflow.url}/entity-stats/?entity=2")
    assert page.evaluate(overflow) == 0
    frame = open_nav(page, airflow)
    assert frame.locator("body").evaluate(f"() => {overflow}") == 0


def test_dark_mode_of_the_ui_and_of_the_system(
    page: Page, airflow: AirflowServer, point: Point, ready: Database
) -> None:
    def brightness(where: Page | FrameLocator) -> int:
        color = where.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
        return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))

    point(ready)
    page.goto(f"{airflow.url}/entity-stats/")
    assert brightness(page) > 600
    page.emulate_media(color_scheme="dark")
    assert brightness(page) < 150

    # The UI has its own switch, which the page follows whatever the system says.
    page.evaluate("localStorage.setItem('theme', 'light')")
    assert brightness(open_nav(page, airflow)) > 600
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.emulate_media(color_scheme="light")
    assert brightness(open_nav(page, airflow)) < 150
