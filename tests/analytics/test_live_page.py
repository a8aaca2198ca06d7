"""The live page in a real Chromium: its tiles move while events arrive, and it loads nothing from elsewhere."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from mercury.analytics import Planner, build_rollups
from mercury.analytics.server import serving_metrics
from tests.analytics.chromium import chromium
from tests.analytics.world import Feed, project, random_events, settings_in

ROWS = random_events(12, 4000, "2013-07-01", "2013-07-03")


def test_tiles_move_while_events_arrive(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    feed = Feed(settings)
    feed.commit(ROWS.slice(0, 2000))
    build_rollups(project, settings, "air")
    browser = tmp_path / "browser"
    browser.mkdir()
    with serving_metrics(Planner(project, settings)) as url, chromium(browser) as page:
        page.open(f"{url}/?by=hour&group=carrier")
        page.until("document.querySelector('#tile-flights output')?.textContent === '2,000'")
        line = page.evaluate("document.querySelector('#tile-flights path').getAttribute('d')")

        seen, took = [], []
        for number in range(5):
            began = time.monotonic()
            feed.commit(ROWS.slice(2000 + 400 * number, 400))
            page.until(f"document.querySelector('#tile-flights output').textContent === '{2400 + 400 * number:,}'")
            took.append(time.monotonic() - began)
            seen.append(page.text("#origin"))

        assert seen[-1].startswith("epoch 5, version ")
        assert page.text("#state") == "live"
        assert page.evaluate("document.querySelector('#tile-flights').classList.contains('moved')")
        assert page.evaluate("document.querySelector('#tile-flights path').getAttribute('d')") != line
        assert page.evaluate("document.querySelectorAll('#groups tr').length") == 6
        assert page.evaluate("document.querySelectorAll('.tile').length") == 12
        assert sorted(took)[2] < 2.0, took
        assert all(address.startswith(url) for address in page.requested())
        assert page.faults() == []


def test_values_are_shown_as_text_and_inline_scripts_do_not_run(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    rows = ROWS.slice(0, 50)
    evil = "<img src=x onerror=\"document.title='taken'\">"
    place = rows.column_names.index("carrier")
    Feed(settings).commit(rows.set_column(place, "carrier", [[evil] * rows.num_rows]))
    browser = tmp_path / "browser"
    browser.mkdir()
    with serving_metrics(Planner(project, settings)) as url, chromium(browser) as page:
        page.open(f"{url}/?group=carrier")
        page.until("document.querySelectorAll('#groups tr').length === 1")

        assert page.text("#groups td") == evil
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title=1'}))"
        )
        assert page.evaluate("document.title") == "air, live"
        assert any("Content Security Policy" in fault for fault in page.faults())


def test_the_page_waits_for_the_first_rows(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    browser = tmp_path / "browser"
    browser.mkdir()
    with serving_metrics(Planner(project, settings)) as url, chromium(browser) as page:
        page.open(url)
        page.until("document.querySelector('#origin')?.textContent.includes('has no rows yet')")
        threading.Thread(target=Feed(settings).commit, args=[ROWS.slice(0, 7)]).start()
        page.until("document.querySelector('#tile-flights output')?.textContent === '7'")
