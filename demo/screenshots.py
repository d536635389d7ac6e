"""The pictures of the documentation, taken in the demo's world: `make screenshots`.

    python -m demo.screenshots [--rows N]

Writes docs/images/: the page while a backfill runs, an alliance on it, on a phone, and explained in the dark, a claim
that fails, and the backfill's graph in Airflow. Needs Chromium.
"""

from __future__ import annotations

import os
import shutil
import sys
from datetime import UTC, datetime, timedelta

import psycopg
from playwright.sync_api import Browser, FrameLocator, Page, expect, sync_playwright

from demo.world import (
    BACKFILL,
    CLEANUP,
    DATABASE,
    ERRORS,
    INGEST,
    Arguments,
    Printer,
    Source,
    World,
    clear_away,
    interruptible,
    temporary_folder,
)
from local import CLONE
from local.live import LiveKillmails

IMAGES = CLONE / "docs" / "images"

NAME = "Entity stats cache"

#: Milliseconds for what a loaded machine may take.
TIMEOUT = 180_000

BUSIEST = """
select "entityId" from public.entity_stats_cache where "entityType" = 'alliance' order by "killsAll" desc limit 1
"""

#: A hand in the cache, for a claim that fails; and what mends it.
BREAK = """
update public.entity_stats_cache set "kills14d" = "kills30d" + 7
where "entityType" = 'alliance' and "entityId" in (
    select "entityId" from public.entity_stats_cache where "entityType" = 'alliance' order by "killsAll" desc limit 3
)
"""


expect.set_options(timeout=TIMEOUT)


def take(world: World, browser: Browser, say: Printer) -> None:
    """Go through the demo's operations, taking pictures on the way."""
    page = browser.new_page(viewport={"width": 1280, "height": 860}, device_scale_factor=1)
    page.set_default_timeout(TIMEOUT)

    def save(name: str, of: Page = page) -> None:
        of.wait_for_timeout(500)  # animations end
        of.screenshot(path=IMAGES / f"{name}.png", full_page=False)
        say(f"{name}.png")

    def page_in_ui() -> FrameLocator:
        page.goto(f"{world.airflow.url}/plugin/entity-stats")
        frame = page.frame_locator(f'iframe[title="{NAME}"]')
        expect(frame.locator("h1")).to_contain_text(NAME)
        return frame

    # Half of the backfill by hand, so that the picture does not depend on the moment; the DAG resumes it.
    done = world.server.psql(DATABASE, "-f", CLONE / "sql" / "deploy.sql")
    assert done.returncode == 0, done.stderr
    with psycopg.connect(world.conninfo(), autocommit=True) as session:
        session.execute("call entity_stats.backfill_begin()")
        for entity_type in ("character", "corporation"):
            session.execute("call entity_stats.backfill_phase('all', %s)", [entity_type])
    expect(page_in_ui().locator("#estimate")).to_be_visible()
    save("page-backfilling")
    world.run(BACKFILL, {}, say)
    world.run(CLEANUP, {}, say)

    run_id = world.airflow.api.get(f"/api/v2/dags/{BACKFILL}/dagRuns")["dag_runs"][0]["dag_run_id"]
    page.goto(f"{world.airflow.url}/dags/{BACKFILL}/runs/{run_id}")
    expect(page.get_by_text("finish").first).to_be_visible()
    save("dag-backfill")

    with psycopg.connect(world.conninfo(), autocommit=True) as session:
        row = session.execute(BUSIEST).fetchone()
        assert row
        frame = page_in_ui()
        frame.locator("#entity").fill(str(row[0]))
        frame.get_by_role("button", name="Look up").click()
        expect(frame.locator("article.entity")).to_be_visible()
        save("page-ready")
        page.evaluate("localStorage.setItem('theme', 'dark')")
        frame = page_in_ui()
        frame.locator("#top-alliance tbody a").first.click()
        frame.get_by_role("link", name="explain alliance 30d").click()
        expect(frame.locator("#counted")).to_be_visible()
        save("page-dark")
        page.evaluate("localStorage.setItem('theme', 'light')")

        phone = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
        phone.goto(f"{world.airflow.url}/entity-stats/?entity={row[0]}#lookup")
        save("page-phone", phone)
        phone.close()

        session.execute(BREAK)
        world.server.psql(DATABASE, "-f", CLONE / "sql" / "check.sql")
        page_in_ui()
        save("page-claim")


def main() -> int:
    """Take all pictures; returns the exit status."""
    parser = Arguments(prog="demo.screenshots", description="Take the documentation's pictures.")
    Source.add_arguments(parser)
    source = Source.of(parser.parse_args())
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        print("There is no Chromium: apt-get install chromium, or set CHROMIUM to a browser's program.")
        return 2
    say = Printer()
    IMAGES.mkdir(parents=True, exist_ok=True)
    try:
        source.check()
        clear_away(say)
        with (
            interruptible(),
            temporary_folder() as folder,
            World(folder) as world,
            sync_playwright() as playwright,
        ):
            world.start(source, say)
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            oldest = datetime.now(UTC) - timedelta(days=90)
            with LiveKillmails(world.conninfo(user=INGEST), lag=timedelta(0), oldest=oldest, pause=0.2):
                take(world, browser, say)
            browser.close()
    except ERRORS as error:
        say(f"It cannot be done: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
