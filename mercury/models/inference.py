"""The Open Inference Protocol v2 over HTTP: requests name entities, answers carry ids and provenance.

Source: https://github.com/kserve/open-inference-protocol (specification `inference_rest.md`, version 2).

Inputs are the entity keys of the model's feature service, one tensor each of shape ``[n]``, and optionally
``event_time`` (INT64 microseconds UTC, one for the request). Outputs are ``probability`` (FP64), ``prediction_id`` and
``provenance`` (BYTES, JSON per row: model version, and per feature view its status, event time and epoch or version).
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from mercury.errors import MercuryError, NotFoundError, did_you_mean
from mercury.models.prediction import Predictor
from mercury.models.protocol import OUTPUTS, datatype, read_request, write_response

MAX_BYTES = 16 << 20
"""Bytes of a request's body; a replica holds as many bodies as it has requests."""

_STATUS = {2: 400, 4: 404, 5: 422, 7: 503, 8: 409}


def build_app(predictors: Mapping[str, Predictor] | Callable[[], Mapping[str, Predictor]]) -> FastAPI:
    """The ASGI application that serves these predictors by model name; when it ends, what they captured is kept."""
    loaded = predictors() if callable(predictors) else predictors

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for predictor in loaded.values():
            if predictor.capture is not None:
                await run_in_threadpool(predictor.capture.close)

    app = FastAPI(title="Mercury models", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    datatypes = {
        name: {key: datatype(kind) for key, kind in predictor.keys.items()} for name, predictor in loaded.items()
    }

    def find(name: str, version: str | None = None) -> Predictor:
        if name not in loaded:
            raise NotFoundError(f"no model is named {name!r}", fix=did_you_mean(name, loaded))
        predictor = loaded[name]
        if version is not None and version != predictor.model.version:
            raise NotFoundError(
                f"version {version!r} of {name!r} is not loaded", fix=f"Version {predictor.model.version} is"
            )
        return predictor

    @app.exception_handler(MercuryError)
    async def refuse(_: Request, error: MercuryError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=_STATUS.get(error.exit_code, 500))

    @app.exception_handler(StarletteHTTPException)
    async def refuse_http(request: Request, error: StarletteHTTPException) -> JSONResponse:
        text = error.detail
        if error.status_code in (404, 405):
            text = f"{request.method} {request.url.path} is not of the protocol: {error.detail}"
        return JSONResponse({"error": text}, status_code=error.status_code, headers=error.headers)

    @app.get("/v2")
    def server() -> dict[str, Any]:
        from mercury import __version__

        return {"name": "mercury", "version": __version__, "extensions": []}

    @app.get("/v2/health/live")
    def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    def ready() -> dict[str, bool]:
        # All models were loaded before there was an application to ask.
        return {"ready": True}

    @app.get("/v2/models")
    def models() -> dict[str, Any]:
        return {"models": list(loaded)}

    @app.get("/v2/models/{name}")
    @app.get("/v2/models/{name}/versions/{version}")
    def metadata(name: str, version: str | None = None) -> dict[str, Any]:
        predictor = find(name, version)
        return {
            "name": name,
            "versions": [predictor.model.version],
            "platform": "lightgbm",
            "inputs": [{"name": key, "datatype": kind, "shape": [-1]} for key, kind in datatypes[name].items()],
            "outputs": [{"name": output, "datatype": kind, "shape": [-1]} for output, kind in OUTPUTS.items()],
        }

    @app.get("/v2/models/{name}/ready")
    @app.get("/v2/models/{name}/versions/{version}/ready")
    def model_ready(name: str, version: str | None = None) -> dict[str, Any]:
        find(name, version)
        return {"name": name, "ready": True}

    @app.post("/v2/models/{name}/infer")
    @app.post("/v2/models/{name}/versions/{version}/infer")
    async def infer(name: str, request: Request, version: str | None = None) -> JSONResponse:
        predictor = find(name, version)
        asked = read_request(await _body(request), datatypes[name])
        request_id = asked.id or uuid.uuid4().hex
        ids = [f"{request_id}/{row}" for row in range(len(asked.rows))]
        predictions = await run_in_threadpool(predictor.predict, asked.rows, now=asked.now, ids=ids)
        return JSONResponse(
            write_response(predictions, predictor.model.name, predictor.model.version, request_id, asked.outputs)
        )

    return app


async def _body(request: Request) -> Any:
    """The JSON of a request's body, which is never held beyond `MAX_BYTES`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise HTTPException(413, f"the body has more than {MAX_BYTES} bytes")
    try:
        return orjson.loads(bytes(body))
    except ValueError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
