"""Metrics over HTTP, with a live page; a plain ASGI application.

    POST /v1/query    {"query": "flights by carrier"} or {"metrics": ["flights"], "by": ["carrier"], "filters": […], …};
                      "explain": true says how the answer came about, "analyst" who asks a model with a privacy policy.
                      JSON by column, or an Arrow IPC stream for Accept: application/vnd.apache.arrow.stream
    GET  /v1/models   models with their metrics, dimensions and rollups
    GET  /v1/live     server-sent events: ?q=QUERY&q=QUERY&model=NAME
    GET  /v1/badges   metrics that a monitor is in alarm about: ?model=NAME
    GET  /v1/outlook  the next values of metrics as forecast: ?model=NAME&metric=NAME&metric=NAME&by=GRAIN
    GET  /            a page whose tiles move; ?model=NAME&by=GRAIN
    GET  /health      200 once the application runs

Whatever is served may load only what this server has itself: no scripts or styles inline, none from elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from importlib import resources
from typing import Any, TypeVar

import anyio
import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mercury.analytics.badges import BadgeReader
from mercury.analytics.engine import Planner
from mercury.analytics.formats import ARROW_TYPE, to_arrow, to_document
from mercury.analytics.live import MAX_QUERIES, LiveFeeds
from mercury.analytics.outlook import Outlooks
from mercury.definitions import Aggregate, Histogram, TopK
from mercury.definitions.analytics import GRAINS
from mercury.errors import DeadlineExceededError, MercuryError, UnavailableError, UsageError
from mercury.expressions import duckdb_process

T = TypeVar("T")

MAX_BODY_BYTES = 1 << 20

CONCURRENT = 4
"""Queries that run at once."""

ANSWER_SECONDS = 60.0
"""After so long a query is stopped."""

INTERRUPT_SECONDS = 0.05
"""Between two interruptions: a statement that has not begun does not notice the first."""

STALLED_SECONDS = 60.0
"""A listener that takes nothing for so long is let go."""

QUEUED = 64
"""Queries that wait for these; more are told to come back."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}
_HTTP_STATUS = {2: 400, 4: 404, 5: 422, 7: 503, 8: 409, 9: 403}
_ASSETS = {
    "live.js": ("mercury.analytics.web", "text/javascript; charset=utf-8"),
    "live.css": ("mercury.analytics.web", "text/css; charset=utf-8"),
    "icon.svg": ("mercury.analytics.web", "image/svg+xml"),
    "page.css": ("mercury.charts", "text/css; charset=utf-8"),
}


def build_app(planner: Planner | Callable[[], Planner]) -> Starlette:
    """The application that answers the queries of a project's planner."""
    engine = planner() if callable(planner) else planner
    feeds, alarms, outlooks = LiveFeeds(engine), BadgeReader(engine.project, engine.settings), Outlooks(engine)
    waiting = _Queue()

    async def query(request: Request) -> Response:
        body = await _body(request)
        explain, analyst = body.pop("explain", False), body.pop("analyst", None)
        if not isinstance(explain, bool) or not isinstance(analyst, (str, type(None))):
            raise UsageError("explain is true or false, and analyst a name")
        async with waiting:
            answer = await _while_wanted(request, lambda: engine.answer(body, principal=analyst))
        if ARROW_TYPE in request.headers.get("accept", ""):
            return Response(await run_in_threadpool(to_arrow, answer), media_type=ARROW_TYPE)
        document = await run_in_threadpool(lambda: orjson.dumps(to_document(answer, explain=explain)))
        return Response(document, media_type="application/json")

    async def models(_: Request) -> Response:
        return _json({"models": [describe(engine, name) for name in engine.models]})

    async def live(request: Request) -> Response:
        model = request.query_params.get("model")
        queries = tuple(engine.read(text, model) for text in request.query_params.getlist("q"))
        feeds.check(queries)
        stream = feeds.listen(queries, request.headers.get("last-event-id"))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return _LiveResponse(stream, media_type="text/event-stream", headers=headers)

    async def badges(request: Request) -> Response:
        model = engine.model(_one(request, "model")).model
        if model.privacy is not None:
            # What drifted, and by how much, are exact figures of the rows.
            raise UsageError(f"{model.name!r} has a privacy policy: its badges would tell exact figures", where="model")
        found = await run_in_threadpool(alarms.of, model)
        return _json({"badges": {name: [badge.to_dict() for badge in each] for name, each in found.items()}})

    async def outlook(request: Request) -> Response:
        model, by = _one(request, "model"), request.query_params.get("by", "day")
        names = request.query_params.getlist("metric")
        if not names or len(names) > MAX_QUERIES:
            raise UsageError(f"{len(names)} metrics are asked for", where="metric", fix=f"Ask for 1 to {MAX_QUERIES}")
        async with waiting:
            found = {name: (await run_in_threadpool(outlooks.of, model, name, by)).to_dict() for name in names}
        return _json({"model": model, "outlooks": found})

    async def page(request: Request) -> Response:
        if not request.url.path.endswith("/"):
            # Below a prefix: what the page names is relative to it.
            return RedirectResponse(str(request.url.replace(path=request.url.path + "/")))
        return Response(_asset("mercury.analytics.web", "index.html"), media_type="text/html; charset=utf-8")

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            return _json({"detail": "there is no such file", "error": "NotFoundError"}, 404)
        package, kind = _ASSETS[name]
        return Response(_asset(package, name), media_type=kind, headers={"cache-control": "no-cache"})

    async def health(_: Request) -> Response:
        return _json({"status": "ok", "project": engine.project.name})

    async def refuse(_: Request, error: Exception) -> Response:
        assert isinstance(error, MercuryError)
        document = {"detail": str(error), "error": type(error).__name__, "excerpt": error.excerpt}
        return _json(document, _HTTP_STATUS.get(error.exit_code, 500))

    async def leave(_: Request, error: Exception) -> Response:
        return _json({"detail": "the caller went away", "error": type(error).__name__}, 499)

    return Starlette(
        routes=[
            Route("/v1/query", query, methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/v1/live", live, methods=["GET"]),
            Route("/v1/badges", badges, methods=["GET"]),
            Route("/v1/outlook", outlook, methods=["GET"]),
            Route("/assets/{name}", asset, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/", page, methods=["GET"]),
        ],
        middleware=[Middleware(_SafeHeaders)],
        exception_handlers={MercuryError: refuse, ClientDisconnect: leave},
    )


def describe(planner: Planner, name: str) -> dict[str, Any]:
    """What can be asked of a model, JSON-ready."""
    resolved = planner.model(name)
    model = resolved.model
    return {
        "name": name,
        "timezone": model.timezone,
        "private": model.privacy is not None,
        "grains": list(GRAINS),
        "dimensions": [{"name": key, "type": str(kind)} for key, kind in resolved.dimensions.items()],
        "metrics": [
            {
                "name": key,
                "kind": metric.kind,
                "number": not isinstance(metric, (TopK, Histogram)),
                "definition": metric.to_dict() if isinstance(metric, Aggregate) else None,
            }
            for key, metric in model.metrics.items()
        ],
        "rollups": [
            {"name": key, "grain": rollup.grain, "by": list(rollup.by)} for key, rollup in model.rollups.items()
        ],
    }


class _Queue:
    """Lets a few queries run, some more wait, and refuses the rest."""

    def __init__(self) -> None:
        self._slots: anyio.Semaphore | None = None
        self._waiting = 0

    async def __aenter__(self) -> None:
        if self._slots is None:
            self._slots = anyio.Semaphore(CONCURRENT)
        if self._waiting >= QUEUED:
            raise UnavailableError(f"{QUEUED} queries are waiting", fix="Try again in a second")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        assert self._slots is not None
        self._slots.release()


async def _while_wanted(request: Request, work: Callable[[], T]) -> T:
    """The outcome of work in a thread, which is stopped when the caller goes away or `ANSWER_SECONDS` have passed."""
    stop, late = duckdb_process.Stop(), False

    async def watch() -> None:
        nonlocal late
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while (await request.receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            late = True
        while True:
            stop.stop()
            await asyncio.sleep(INTERRUPT_SECONDS)

    watcher = asyncio.create_task(watch())
    try:
        return await run_in_threadpool(stop.run, work)
    except duckdb_process.Stopped:
        if not late:
            raise ClientDisconnect from None
        raise DeadlineExceededError(
            f"the query took longer than {ANSWER_SECONDS:g} s",
            fix="Ask for less time or fewer groups, or keep what it needs in a rollup",
        ) from None
    finally:
        watcher.cancel()
        stop.stop()


class _LiveResponse(StreamingResponse):
    """Ends when the listener takes nothing for `STALLED_SECONDS`, so that it does not keep a place for ever."""

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            with anyio.fail_after(STALLED_SECONDS):
                await send(message)

        stream = self.body_iterator
        assert isinstance(stream, AsyncGenerator)
        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            pass
        finally:
            # Now, and not when it happens to be collected: it counts as a listener until then.
            with anyio.CancelScope(shield=True):
                await stream.aclose()


class _SafeHeaders:
    """Adds to every answer what browsers must keep to. Not Starlette's base class, which holds back streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS.items()]
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def _one(request: Request, name: str) -> str:
    found = request.query_params.get(name)
    if not found:
        raise UsageError(
            f"{name} is not given", where=request.url.path, fix=f"Add ?{name}=…; GET /v1/models lists them"
        )
    return found


async def _body(request: Request) -> dict[str, Any]:
    if not request.headers.get("content-type", "").startswith("application/json"):
        # Pages of other origins may send forms and plain text without being asked, but not this.
        raise UsageError("the body is not declared as JSON", fix="Send Content-Type: application/json")
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise UsageError("the body is too large", fix=f"Send at most {MAX_BODY_BYTES} bytes")
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise UsageError("the body is not a JSON object", fix='Write {"query": "flights by carrier"}')
    return body


def _json(document: Mapping[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")


def _asset(package: str, name: str) -> bytes:
    return resources.files(package).joinpath(name).read_bytes()


__all__ = ["POLICY", "build_app", "describe"]
