"""The Open Inference Protocol v2 over HTTP: requests name entities, answers carry ids and provenance.

Source: https://github.com/kserve/open-inference-protocol (specification `inference_rest.md`, version 2).

Inputs are the entity keys of the model's feature service, one tensor each of shape ``[n]``, and optionally
``event_time`` (INT64 microseconds UTC, one for the request). Outputs are ``probability`` (FP64), ``prediction_id`` and
``provenance`` (BYTES, JSON per row: model version, and per feature view its status, event time and epoch or version).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from mercury.errors import MercuryError, NotFoundError, UsageError, did_you_mean
from mercury.models.prediction import Prediction, Predictor

MAX_ROWS = 10_000
"""Rows in one request; more would hold the replica's thread for too long."""

EVENT_TIME = "event_time"

_STATUS = {2: 400, 4: 404, 5: 422, 7: 503, 8: 409}


def build_app(predictors: Mapping[str, Predictor] | Callable[[], Mapping[str, Predictor]]) -> FastAPI:
    """The ASGI application that serves these predictors by model name."""
    app = FastAPI(title="Mercury models", docs_url=None, redoc_url=None)
    loaded = predictors() if callable(predictors) else predictors

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

    @app.get("/v2")
    def server() -> dict[str, Any]:
        from mercury import __version__

        return {"name": "mercury", "version": __version__, "extensions": []}

    @app.get("/v2/health/live")
    def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    def ready() -> dict[str, bool]:
        return {"ready": bool(loaded)}

    @app.get("/v2/models/{name}")
    @app.get("/v2/models/{name}/versions/{version}")
    def metadata(name: str, version: str | None = None) -> dict[str, Any]:
        predictor = find(name, version)
        return {
            "name": name,
            "versions": [predictor.model.version],
            "platform": "lightgbm",
            "inputs": [{"name": key, "datatype": "BYTES", "shape": [-1]} for key in predictor.keys],
            "outputs": [
                {"name": "probability", "datatype": "FP64", "shape": [-1]},
                {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
                {"name": "provenance", "datatype": "BYTES", "shape": [-1]},
            ],
        }

    @app.get("/v2/models/{name}/ready")
    @app.get("/v2/models/{name}/versions/{version}/ready")
    def model_ready(name: str, version: str | None = None) -> dict[str, Any]:
        find(name, version)
        return {"name": name, "ready": True}

    @app.post("/v2/models/{name}/infer")
    @app.post("/v2/models/{name}/versions/{version}/infer")
    async def infer(name: str, request: Request, version: str | None = None) -> dict[str, Any]:
        predictor = find(name, version)
        try:
            body = json.loads(await request.body())
        except ValueError as error:
            raise HTTPException(400, f"the body is not JSON: {error}") from error
        keys, now = read_request(body, predictor.keys)
        request_id = body.get("id")
        ids = None if request_id is None else [f"{request_id}/{row}" for row in range(len(keys))]
        predictions = await run_in_threadpool(predictor.predict, keys, now=now, ids=ids)
        return write_response(predictions, predictor, request_id)

    return app


def read_request(body: Any, keys: Sequence[str]) -> tuple[list[dict[str, Any]], int | None]:
    """Rows of entity keys and the time of the request; `UsageError` names the tensor that is wrong."""
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise UsageError("the request has no list 'inputs'", fix=f"Send one tensor for each of: {', '.join(keys)}")
    tensors: dict[str, list[Any]] = {}
    for place, tensor in enumerate(body["inputs"]):
        if not isinstance(tensor, dict) or "name" not in tensor or not isinstance(tensor.get("data"), list):
            raise UsageError(f"inputs[{place}] has no 'name' or no list 'data'")
        name, data, shape = str(tensor["name"]), tensor["data"], tensor.get("shape")
        if name not in keys and name != EVENT_TIME:
            raise UsageError(f"input {name!r} is not an entity key", fix=did_you_mean(name, [*keys, EVENT_TIME]))
        if shape is not None and shape != [len(data)] and shape != [len(data), 1]:
            raise UsageError(f"input {name!r} has shape {shape} and {len(data)} values")
        tensors[name] = data
    now = _event_time(tensors.pop(EVENT_TIME, None))
    missing = [key for key in keys if key not in tensors]
    if missing:
        raise UsageError(f"input {missing[0]!r} is missing", fix=f"Send one tensor for each of: {', '.join(keys)}")
    lengths = {name: len(data) for name, data in tensors.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"inputs differ in length: {lengths}")
    rows = next(iter(lengths.values()), 0)
    if rows > MAX_ROWS:
        raise UsageError(f"{rows} rows in one request", fix=f"Send at most {MAX_ROWS}")
    return [{key: tensors[key][row] for key in keys} for row in range(rows)], now


def write_response(predictions: Sequence[Prediction], predictor: Predictor, request_id: str | None) -> dict[str, Any]:
    """The body of an answer, by the protocol's names."""
    count = len(predictions)
    provenance = [
        json.dumps({"model_version": item.model_version, "features": item.features.provenance}) for item in predictions
    ]
    outputs: list[tuple[str, str, list[Any]]] = [
        ("probability", "FP64", [item.probability for item in predictions]),
        ("prediction_id", "BYTES", [item.id for item in predictions]),
        ("provenance", "BYTES", provenance),
    ]
    answer: dict[str, Any] = {
        "model_name": predictor.model.name,
        "model_version": predictor.model.version,
        "outputs": [{"name": name, "datatype": kind, "shape": [count], "data": data} for name, kind, data in outputs],
    }
    if request_id is not None:
        answer["id"] = request_id
    return answer


def _event_time(data: list[Any] | None) -> int | None:
    if data is None:
        return None
    if len(data) != 1 or not isinstance(data[0], int):
        raise UsageError(f"event_time is {data!r}", fix="Send one INT64, microseconds since 1970 in UTC")
    return data[0]
