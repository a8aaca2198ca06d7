"""Features over HTTP in Feast's shape, so that Feast's remote clients work; a plain ASGI application.

    POST /get-online-features   {"feature_service": "delay_risk", "entities": {"carrier": ["UA", "AA"]}}
                                {"features": ["carrier_delay:flights_1d"], "entities": {…}, "full_feature_names": true}
    GET  /health                200 once the store can be read

The answer holds one result per name: entity columns first, then features, each with ``values``, ``statuses`` and
``event_timestamps`` by entity row. Statuses are Feast's: PRESENT, NULL_VALUE, OUTSIDE_MAX_AGE, NOT_FOUND. Beside
Feast's ``metadata.feature_names`` there is ``metadata.provenance``: for each view its definition version and sources,
and per entity row the epoch that the row came with. ``event_time`` (ISO 8601) in the request asks as of then.

Source: https://docs.feast.dev/reference/feature-servers/python-feature-server
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mercury.definitions import FeatureService, FeatureView, Project
from mercury.errors import MercuryError, NotFoundError, UsageError, did_you_mean
from mercury.features.online.reader import OnlineFeatures, OnlineReader, Status, ViewResult
from mercury.time import parse_instant, to_iso

MAX_ROWS = 10_000
"""Entity rows in one request; more would hold a thread for too long."""

MAX_BODY_BYTES = 8 << 20
"""Bytes of a request's body; more are not held."""

_THREAD_ROWS = 200
"""Requests of more rows are answered in a thread; fewer take less time than handing them over."""

_HTTP_STATUS = {2: 400, 4: 404, 5: 422, 7: 503, 8: 409}
_FIELDS = ("entities", "feature_service", "features", "full_feature_names", "event_time")
_NO_TIME = "1970-01-01T00:00:00Z"


def build_app(project: Project, reader: OnlineReader | Callable[[], OnlineReader]) -> Starlette:
    """The application that serves a project's features from an online store."""
    online = reader() if callable(reader) else reader
    resolver = _Resolver(project)

    async def features(request: Request) -> Response:
        body = await _body(request)
        wanted = resolver.resolve(body)
        entities, rows = read_entities(body)
        now = _moment(body.get("event_time"))
        if rows and len(next(iter(entities.values()))) > _THREAD_ROWS:
            found = await run_in_threadpool(online.lookup, wanted.views, rows, now)
        else:
            found = online.lookup(wanted.views, rows, now)
        return _json(write_answer(found, entities, wanted.names))

    async def health(_: Request) -> Response:
        return _json({"status": "ok", "project": project.name})

    async def refuse(_: Request, error: Exception) -> Response:
        assert isinstance(error, MercuryError)
        return _json({"detail": str(error), "error": type(error).__name__}, _HTTP_STATUS.get(error.exit_code, 500))

    return Starlette(
        routes=[
            Route("/get-online-features", features, methods=["POST"]),
            Route("/health", health, methods=["GET"]),
        ],
        exception_handlers={MercuryError: refuse},
    )


class Wanted:
    """What a request asks for: views, and the name of each of their features in the answer (None: left out)."""

    def __init__(self, views: Sequence[FeatureView], names: Sequence[Sequence[str | None]]) -> None:
        self.views = tuple(views)
        self.names = tuple(tuple(part) for part in names)


class _Resolver:
    """Services and features by name; a service is resolved once."""

    def __init__(self, project: Project) -> None:
        self._services = {part.name: part for part in project.of(FeatureService)}
        self._views = {part.name: part for part in project.of(FeatureView)}
        self._done: dict[tuple[Any, ...], Wanted] = {}

    def resolve(self, body: Mapping[str, Any]) -> Wanted:
        service, features = body.get("feature_service"), body.get("features")
        full = bool(body.get("full_feature_names", False))
        if (service is None) == (features is None):
            raise UsageError(
                "the request must have one of 'feature_service' and 'features'",
                fix=f"Services: {', '.join(sorted(self._services)) or 'none'}",
            )
        if features is not None and not (isinstance(features, list) and all(isinstance(x, str) for x in features)):
            raise UsageError("'features' is not a list of texts", fix="Write 'view:feature'")
        key = (service if isinstance(service, str) else repr(service), tuple(features or ()), full)
        done = self._done.get(key)
        if done is None:
            done = self._of_service(str(service), full) if features is None else self._of_features(features, full)
            if len(self._done) < 1024:  # what strangers ask for must not fill the memory
                self._done[key] = done
        return done

    def _of_service(self, name: str, full: bool) -> Wanted:
        if name not in self._services:
            raise NotFoundError(
                f"no feature service is named {name!r}",
                where="feature_service",
                fix=did_you_mean(name, self._services),
            )
        views = self._services[name].views
        return Wanted(views, [[_name(view, feature, full) for feature in view.columns] for view in views])

    def _of_features(self, references: Sequence[str], full: bool) -> Wanted:
        chosen: dict[str, list[str]] = {}
        for reference in references:
            view, separator, feature = reference.partition(":")
            if not separator:
                raise UsageError(f"{reference!r} is not a feature", where="features", fix="Write 'view:feature'")
            if view not in self._views:
                raise NotFoundError(
                    f"no feature view is named {view!r}", where="features", fix=did_you_mean(view, self._views)
                )
            if feature not in self._views[view].columns:
                raise NotFoundError(
                    f"view {view!r} has no feature {feature!r}",
                    where="features",
                    fix=did_you_mean(feature, self._views[view].columns),
                )
            chosen.setdefault(view, []).append(feature)
        views = [self._views[name] for name in chosen]
        names = [
            [_name(view, feature, full) if feature in chosen[view.name] else None for feature in view.columns]
            for view in views
        ]
        shown = [name for part in names for name in part if name is not None]
        for name in shown:
            if shown.count(name) > 1:
                raise UsageError(
                    f"two of the features are named {name!r}", where="features", fix="Set full_feature_names to true"
                )
        return Wanted(views, names)


def read_entities(body: Mapping[str, Any]) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    """Entity columns of a request and the same as rows; `UsageError` says which column is wrong."""
    for field in body:
        if field not in _FIELDS:
            raise UsageError(f"{field!r} is not a field of the request", fix=did_you_mean(field, _FIELDS))
    entities = body.get("entities")
    if not isinstance(entities, dict) or not entities:
        raise UsageError("the request has no 'entities'", fix='Write "entities": {"carrier": ["UA"]}')
    for name, values in entities.items():
        if not isinstance(values, list):
            raise UsageError(f"entities[{name!r}] is not a list", fix="Give one value per entity row")
    lengths = {name: len(values) for name, values in entities.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"entity columns differ in length: {lengths}")
    count = next(iter(lengths.values()))
    if count > MAX_ROWS:
        raise UsageError(f"{count} entity rows in one request", fix=f"Send at most {MAX_ROWS}")
    return entities, [dict(zip(entities, values, strict=True)) for values in zip(*entities.values(), strict=True)]


def write_answer(
    found: OnlineFeatures, entities: Mapping[str, list[Any]], names: Sequence[Sequence[str | None]]
) -> dict[str, Any]:
    """The body of an answer."""
    count = len(next(iter(entities.values()), []))
    shown: list[str] = list(entities)
    results: list[dict[str, Any]] = [
        {"values": values, "statuses": ["PRESENT"] * count, "event_timestamps": [_NO_TIME] * count}
        for values in entities.values()
    ]
    provenance: dict[str, Any] = {}
    for view, columns in zip(found.views, names, strict=True):
        times = [_NO_TIME if event is None else to_iso(event) for event in view.event_times]
        for place, name in enumerate(columns):
            if name is None:
                continue
            values = [row[place] for row in view.values]
            statuses = [_status(view, row, value) for row, value in enumerate(values)]
            shown.append(name)
            results.append({"values": values, "statuses": statuses, "event_timestamps": times})
        provenance[view.view] = {
            "view_version": view.version,
            "sources": dict(view.sources),
            "epochs": view.epochs,
            "created_timestamps": [None if each is None else to_iso(each) for each in view.created_times],
        }
    return {
        "metadata": {"feature_names": shown, "request_timestamp": to_iso(found.now), "provenance": provenance},
        "results": results,
    }


def _status(view: ViewResult, row: int, value: Any) -> str:
    status = view.statuses[row]
    if status is Status.PRESENT:
        return "NULL_VALUE" if value is None else "PRESENT"
    return "OUTSIDE_MAX_AGE" if status is Status.EXPIRED else "NOT_FOUND"


def _name(view: FeatureView, feature: str, full: bool) -> str:
    return f"{view.name}__{feature}" if full else feature


async def _body(request: Request) -> dict[str, Any]:
    data = bytearray()
    # What a request says of its length is not taken for true, and a chunked one says nothing.
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise UsageError(f"the body has more than {MAX_BODY_BYTES} bytes", fix="Ask for fewer entities at once")
    try:
        body = orjson.loads(bytes(data))
    except orjson.JSONDecodeError as error:
        raise UsageError(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise UsageError("the body is not a JSON object", fix='Write {"feature_service": …, "entities": {…}}')
    return body


def _moment(given: Any) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise UsageError(f"event_time is {given!r}", fix="Send ISO 8601 text, or microseconds since 1970 in UTC")
    return given if isinstance(given, int) else parse_instant(given)


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document, default=_plain), status, media_type="application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


__all__ = ["MAX_ROWS", "Wanted", "build_app", "read_entities", "write_answer"]
