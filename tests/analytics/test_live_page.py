"""The live page in a real Chromium: its tiles move while events arrive, and it loads nothing from elsewhere."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pyarrow as pa

from mercury import Project
from mercury.analytics import Planner, build_rollups
from mercury.analytics.outlook import Outlooks
from mercury.analytics.server import serving_metrics
from mercury.observability.monitor import write_report
from tests.analytics.chromium import Page, chromium
from tests.analytics.reports import late, plane, report, watch
from tests.analytics.world import Feed, project, random_events, settings_in

ROWS = random_events(12, 4000, "2013-07-01", "2013-07-03")


def numbers_asked(page: Page) -> list[str]:
    """What the page has asked for but outlooks, of which it asks anew when an hour has closed."""
    return [address for address in page.requested() if "/v1/outlook?" not in address]


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

        seen, asked = [], numbers_asked(page)
        for number in range(5):
            feed.commit(ROWS.slice(2000 + 400 * number, 400))
            page.until(f"document.querySelector('#tile-flights output').textContent === '{2400 + 400 * number:,}'")
            seen.append(page.text("#origin"))

        assert seen[-1].startswith("epoch 5, version ")
        assert numbers_asked(page) == asked  # They were pushed.
        assert page.text("#state") == "live"
        assert page.evaluate("document.querySelector('#tile-flights').classList.contains('moved')")
        assert page.evaluate("document.querySelector('#tile-flights path').getAttribute('d')") != line
        assert page.evaluate("document.querySelectorAll('#groups tr').length") == 6
        assert page.evaluate("document.querySelectorAll('.tile').length") == 12
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


def test_tiles_carry_the_drift_that_a_monitor_found_and_the_forecast_of_the_open_day(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    rows = random_events(23, 6000, "2013-07-01", "2013-07-29T12:00:00Z")
    Feed(settings).commit(rows)
    browser = tmp_path / "browser"
    browser.mkdir()
    watched = Project("sky", [*project.definitions, plane, late, watch])
    planner = Planner(watched, settings)
    outlook = Outlooks(planner).of("air", "flights", "day")
    with serving_metrics(planner) as url, chromium(browser) as page:
        page.open(f"{url}/?by=day")
        page.until("document.querySelector('#tile-flights .outlook')?.textContent.startsWith('this day')")
        text = page.text("#tile-flights .outlook")
        ahead = page.evaluate("document.querySelector('#tile-flights .ahead').getAttribute('d')")
        assert page.evaluate("document.querySelector('#tile-mean_delay .badge').hidden")

        write_report(watch, settings, report(False, True), pa.table({}))
        page.until("!document.querySelector('#tile-mean_delay .badge').hidden")

        assert page.text("#tile-mean_delay .badge") == "drift: minutes since 2013-07-04"
        title = page.evaluate("document.querySelector('#tile-mean_delay .badge').title")
        assert title == "minutes: = 0 from 5.1% to 14.9% (watch)"
        assert page.evaluate("document.querySelector('#tile-flights .badge').hidden")
        assert [float(part) for part in re.findall(r"[\d.]+", text)] == [
            float(f"{value:.3g}") for value in (outlook.forecast[0], outlook.low[0], outlook.high[0])
        ]
        assert ahead.count("L") == len(outlook.forecast) - 1 == 6
        assert page.faults() == []


def test_the_page_waits_for_the_first_rows(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    browser = tmp_path / "browser"
    browser.mkdir()
    with serving_metrics(Planner(project, settings)) as url, chromium(browser) as page:
        page.open(url)
        page.until("document.querySelector('#origin')?.textContent.includes('has no rows yet')")
        threading.Thread(target=Feed(settings).commit, args=[ROWS.slice(0, 7)]).start()
        page.until("document.querySelector('#tile-flights output')?.textContent === '7'")
