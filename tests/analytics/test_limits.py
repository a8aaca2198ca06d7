"""What a server does for callers who go away, ask too much or take nothing, and when something fails unforeseen."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mercury.analytics import Answer, Planner, live
from mercury.analytics import http as web
from mercury.analytics.live import LiveFeeds
from mercury.analytics.server import serving_metrics
from mercury.expressions import duckdb_process
from tests.analytics.test_http import post, read_events
from tests.analytics.world import Feed, project, random_events, settings_in

ROWS = random_events(11, 500, "2013-07-01", "2013-07-03")
ENDLESS = "SELECT count(*) FROM range(100000000) AS a, range(100000000) AS b WHERE a.range * b.range % 7 = 3"


class SlowPlanner(Planner):
    """Takes for ever over every query, and says how it ended."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.began, self.ended = threading.Event(), threading.Event()

    def answer(self, *_: Any, **__: Any) -> Answer:
        self.began.set()
        try:
            with duckdb_process.cursor(threads=1) as cursor:
                cursor.sql(ENDLESS).to_arrow_table()
        finally:
            self.ended.set()
        raise AssertionError("it never ends by itself")


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[str, SlowPlanner]]:
    planner = SlowPlanner(project, settings_in(tmp_path))
    with serving_metrics(planner) as url:
        yield url, planner


def test_a_query_stops_when_its_caller_goes_away(slow: tuple[str, SlowPlanner]) -> None:
    url, planner = slow
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=20)
    body = json.dumps({"query": "flights"})
    connection.request("POST", "/v1/query", body, {"Content-Type": "application/json"})
    assert planner.began.wait(20)

    connection.close()

    assert planner.ended.wait(20)


def test_a_query_that_takes_too_long_is_stopped_and_says_so(
    slow: tuple[str, SlowPlanner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "ANSWER_SECONDS", 0.3)
    url, planner = slow

    code, answer, _ = post(url, {"query": "flights"})

    assert (code, planner.ended.is_set()) == (503, True)
    assert json.loads(answer)["detail"].startswith("the query took longer than 0.3 s")


def test_stopped_work_begins_nothing_more() -> None:
    stop = duckdb_process.Stop()

    def work() -> None:
        stop.stop()
        duckdb_process.cursor(threads=1)

    with pytest.raises(duckdb_process.Stopped):
        stop.run(work)


def test_a_listener_that_takes_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "STALLED_SECONDS", 0.2)
    settings = settings_in(tmp_path)
    Feed(settings).commit(ROWS)
    planner = Planner(project, settings)
    seen = []

    async def listen() -> int:
        feeds = LiveFeeds(planner)

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                seen.append(feeds.listeners)
                await asyncio.Event().wait()

        async with asyncio.timeout(20):
            await web._LiveResponse(feeds.listen((planner.read("flights"),))).stream_response(send)
        return feeds.listeners

    assert (asyncio.run(listen()), seen) == (0, [1])


def test_a_feed_goes_on_after_a_failure_that_nobody_foresaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FAILED_SECONDS", 0.1)
    settings = settings_in(tmp_path)
    Feed(settings).commit(ROWS)
    planner = Planner(project, settings)
    version: Callable[[str], int] = planner.version
    failures = iter([OSError("the disk is gone")])

    def failing(model: str) -> int:
        for failure in failures:
            raise failure
        return version(model)

    monkeypatch.setattr(planner, "version", failing)
    with serving_metrics(planner) as url:
        failed, answered = read_events(f"{url}/v1/live?q=flights", 2)

    assert failed["failed"] == "the server failed; its log says how"
    assert answered["answers"][0]["data"]["flights"] == [ROWS.num_rows]


def test_feeds_of_one_source_share_one_look_at_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path)
    Feed(settings).commit(ROWS)
    planner = Planner(project, settings)
    looks = 0
    version = planner.version

    def counted(model: str) -> int:
        nonlocal looks
        looks += 1
        return version(model)

    monkeypatch.setattr(planner, "version", counted)

    async def first(stream: Any) -> bytes:
        return next(chunk for chunk in [await anext(stream), await anext(stream)] if chunk.startswith(b"id:"))

    async def listen() -> list[bytes]:
        feeds = LiveFeeds(planner)
        queries = [planner.read(f"flights limit {number}") for number in range(1, 21)]
        listening: list[Awaitable[bytes]] = [first(feeds.listen((query,))) for query in queries]
        return await asyncio.gather(*listening)

    assert len(set(asyncio.run(listen()))) == 1
    assert looks < 20
