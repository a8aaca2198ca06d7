"""The live feed: the answers of some queries, pushed again whenever the source of their model has moved on.

One poll serves all who listen to the same queries. Only the newest answers are kept, so a slow listener misses events
in between and never holds anything back. Answers come from the planner: exact, with the epoch that they are of.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool

from mercury.analytics.engine import Planner
from mercury.analytics.formats import to_document
from mercury.analytics.query import MetricQuery
from mercury.errors import MercuryError, TableNotFoundError, UnavailableError, UsageError

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
"""Between two looks at the version of a source."""

PUSH_SECONDS = 0.25
"""Least time between two events of a feed."""

HEARTBEAT_SECONDS = 15.0
"""A comment is sent after so long without an event, so that proxies keep the connection and dead ones are found."""

CONCURRENT = 2
"""Feeds that compute answers at once; the others are late, and queries are not held up."""

FAILED_SECONDS = 5.0
"""Until the next look after a failure that nobody foresaw."""

MAX_LISTENERS = 64
"""Open live connections of a server; more are told to come back."""

MAX_QUERIES = 12
"""Queries of one feed."""


@dataclass(frozen=True)
class LiveEvent:
    """What a listener gets: an id that names the state of the source, and the answers as JSON."""

    id: str
    data: bytes

    def encode(self) -> bytes:
        """As `text/event-stream`."""
        return b"id: %s\nevent: answers\ndata: %s\n\n" % (self.id.encode(), self.data)


@dataclass
class _Feed:
    queries: tuple[MetricQuery, ...]
    latest: LiveEvent | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: int = 0
    task: asyncio.Task[None] | None = None


class LiveFeeds:
    """Feeds by their queries; each polls only while somebody listens."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._feeds: dict[tuple[MetricQuery, ...], _Feed] = {}
        self._looks: dict[str, tuple[float, asyncio.Future[int]]] = {}
        self._slots = asyncio.Semaphore(CONCURRENT)

    @property
    def listeners(self) -> int:
        """Open connections."""
        return sum(feed.listeners for feed in self._feeds.values())

    def check(self, queries: tuple[MetricQuery, ...]) -> None:
        """Raise unless these queries can be live: a few of one model, and none about people."""
        if not queries:
            raise UsageError("no query is given", where="q", fix="Write /v1/live?q=flights&q=flights by hour")
        if len(queries) > MAX_QUERIES:
            raise UsageError(f"{len(queries)} queries in one feed", where="q", fix=f"Ask for at most {MAX_QUERIES}")
        names = sorted({query.model for query in queries})
        if len(names) > 1:
            raise UsageError(f"queries of {' and '.join(names)} in one feed", fix="Open a feed for each model")
        if self._planner.model(names[0]).model.privacy is not None:
            raise UsageError(
                f"{names[0]!r} has a privacy policy: each new answer would be charged",
                where="q",
                fix="Ask it once by POST /v1/query",
            )
        if self.listeners >= MAX_LISTENERS:
            raise UnavailableError(f"{MAX_LISTENERS} listeners are connected", fix="Close a page, or try again later")

    async def listen(self, queries: tuple[MetricQuery, ...], last_id: str | None = None) -> AsyncGenerator[bytes]:
        """Bytes of an event stream, for as long as it is read; what `last_id` names is not sent again."""
        feed = self._feeds.setdefault(queries, _Feed(queries))
        feed.listeners += 1
        if feed.task is None:
            feed.task = asyncio.create_task(self._poll(feed))
        try:
            yield b"retry: 1000\n\n"
            sent = last_id
            while True:
                if feed.latest is not None and feed.latest.id != sent:
                    sent = feed.latest.id
                    yield feed.latest.encode()
                    continue
                try:
                    await asyncio.wait_for(feed.changed.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            feed.listeners -= 1
            if not feed.listeners:
                self._feeds.pop(queries, None)
                feed.task.cancel()

    async def _poll(self, feed: _Feed) -> None:
        seen: int | None = None
        while True:
            began, pause = time.monotonic(), POLL_SECONDS
            try:
                version = await self._version(feed.queries[0].model)
                if version != seen:
                    async with self._slots:
                        feed.latest = await run_in_threadpool(self._event, feed.queries)
                    seen, pause = version, PUSH_SECONDS
                    self._wake(feed)
            except TableNotFoundError as error:
                self._tell(feed, "waiting", str(error))
            except MercuryError as error:
                # A table that is being rewritten, a broker's disk that is full: the next look may succeed.
                self._tell(feed, "failed", str(error))
                seen = None
            except Exception:
                # Without this the feed would end, and listeners would take old answers for live ones.
                _log.exception("the feed of %s failed", feed.queries[0].model)
                self._tell(feed, "failed", "the server failed; its log says how")
                seen, pause = None, FAILED_SECONDS
            await asyncio.sleep(max(0.0, pause - (time.monotonic() - began)))

    async def _version(self, model: str) -> int:
        """The newest version of a model's source; feeds that look at about the same time share one look."""
        held = self._looks.get(model)
        if held is None or (held[1].done() and time.monotonic() - held[0] > POLL_SECONDS / 2):
            look = asyncio.ensure_future(run_in_threadpool(self._planner.version, model))
            held = self._looks[model] = (time.monotonic(), look)
        # A feed that ends takes the look away from no other.
        return await asyncio.shield(held[1])

    def _event(self, queries: tuple[MetricQuery, ...]) -> LiveEvent:
        answers = [self._planner.answer(query) for query in queries]
        versions = [answer.explain.version for answer in answers]
        epochs = [answer.explain.epoch for answer in answers]
        document: dict[str, Any] = {
            "version": versions[0],
            "epoch": epochs[0],
            "answers": [to_document(answer) for answer in answers],
        }
        # Rows may come between two answers; then the id names none of the states and is never taken for one.
        name = "-".join(str(version) for version in dict.fromkeys(versions))
        return LiveEvent(name, orjson.dumps(document))

    def _tell(self, feed: _Feed, state: str, message: str) -> None:
        if feed.latest is None or feed.latest.id != state:
            feed.latest = LiveEvent(state, orjson.dumps({state: message}))
            self._wake(feed)

    @staticmethod
    def _wake(feed: _Feed) -> None:
        feed.changed.set()
        feed.changed = asyncio.Event()
