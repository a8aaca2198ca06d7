"""Requests and answers of the Open Inference Protocol v2 as values: read, checked and written, without a server.

Source: https://github.com/kserve/open-inference-protocol (specification `inference_rest.md`, version 2).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mercury.errors import UsageError, did_you_mean
from mercury.models.prediction import Prediction

MAX_ROWS = 10_000
"""Rows in one request; more would hold the replica's thread for too long."""

EVENT_TIME = "event_time"

OUTPUTS = {"probability": "FP64", "prediction_id": "BYTES", "provenance": "BYTES"}
"""Name and datatype of each output, in order."""

_DATATYPES = {
    "string": "BYTES",
    "date": "BYTES",
    "int32": "INT64",
    "int64": "INT64",
    "timestamp": "INT64",
    "bool": "BOOL",
}
_INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_BOUND = 1 << 63


@dataclass(frozen=True)
class InferRequest:
    """Rows of entity keys, when they are asked about (microseconds UTC, None is now), and what is to be answered."""

    rows: list[dict[str, Any]]
    now: int | None
    id: str | None
    outputs: tuple[str, ...]


def datatype(kind: str) -> str:
    """The protocol's datatype of a key column of a project's type; a ``timestamp`` is microseconds UTC.

    Raises `UsageError` for a type that no request can carry.
    """
    if kind not in _DATATYPES:
        raise UsageError(f"keys of type {kind} cannot be sent as JSON", fix=did_you_mean(kind, _DATATYPES))
    return _DATATYPES[kind]


def read_request(body: Any, keys: Mapping[str, str]) -> InferRequest:
    """A request from its JSON; ``keys`` maps every entity key to its datatype. `UsageError` names what is wrong.

    ``shape`` and ``datatype`` may be left out. A null key is allowed: nothing is known of it.
    """
    all_of = f"Send one tensor for each of: {', '.join(keys)}"
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise UsageError("the request has no list 'inputs'", fix=all_of)
    request_id = body.get("id")
    if request_id is not None and (not isinstance(request_id, str) or not request_id):
        raise UsageError(f"id is {request_id!r}", fix="Send text, or leave it out")
    tensors: dict[str, list[Any]] = {}
    for place, tensor in enumerate(body["inputs"]):
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise UsageError(f"inputs[{place}] has no 'name'", fix=all_of)
        name = tensor["name"]
        if name not in keys and name != EVENT_TIME:
            raise UsageError(f"input {name!r} is not an entity key", fix=did_you_mean(name, [*keys, EVENT_TIME]))
        if name in tensors:
            raise UsageError(f"input {name!r} is given twice")
        tensors[name] = _data(name, tensor, keys.get(name, "INT64"))
    now = _event_time(tensors.pop(EVENT_TIME, None))
    missing = [key for key in keys if key not in tensors]
    if missing:
        raise UsageError(f"input {missing[0]!r} is missing", fix=all_of)
    lengths = {name: len(data) for name, data in tensors.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"inputs differ in length: {lengths}")
    count = next(iter(lengths.values()), 0)
    if count > MAX_ROWS:
        raise UsageError(f"{count} rows in one request", fix=f"Send at most {MAX_ROWS}")
    rows = [{key: tensors[key][row] for key in keys} for row in range(count)]
    return InferRequest(rows, now, request_id, _outputs(body.get("outputs")))


def write_response(
    predictions: Sequence[Prediction], name: str, version: str, request_id: str, outputs: Sequence[str] = tuple(OUTPUTS)
) -> dict[str, Any]:
    """The body of an answer, by the protocol's names."""
    columns: dict[str, list[Any]] = {
        "probability": [item.probability for item in predictions],
        "prediction_id": [item.id for item in predictions],
    }
    if "provenance" in outputs:
        columns["provenance"] = [
            json.dumps({"model_version": item.model_version, "features": item.features.provenance})
            for item in predictions
        ]
    return {
        "model_name": name,
        "model_version": version,
        "id": request_id,
        "outputs": [
            {"name": output, "datatype": OUTPUTS[output], "shape": [len(predictions)], "data": columns[output]}
            for output in outputs
        ],
    }


def _data(name: str, tensor: Mapping[str, Any], expected: str) -> list[Any]:
    """The values of a tensor of shape [n] or [n, 1], as Python values of its datatype."""
    given, shape, data = tensor.get("datatype"), tensor.get("shape"), tensor.get("data")
    if given is not None and given != expected and not (expected == "INT64" and given in _INTEGERS):
        raise UsageError(f"input {name!r} has datatype {given!r}", fix=f"Send {expected}")
    if not isinstance(data, list):
        raise UsageError(f"input {name!r} has no list 'data'")
    if shape is not None and shape != [len(data)] and shape != [len(data), 1]:
        raise UsageError(f"input {name!r} has shape {shape} and {len(data)} values", fix=f"Send shape [{len(data)}]")
    flat = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]
    if name == EVENT_TIME:
        return flat
    for place, value in enumerate(flat):
        if value is not None and not _is(value, expected):
            raise UsageError(f"value {place} of input {name!r} is {value!r}, not {expected}")
    return flat


def _is(value: Any, kind: str) -> bool:
    if kind == "BYTES":
        return isinstance(value, str)
    if kind == "BOOL":
        return isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool) and -_BOUND <= value < _BOUND


def _outputs(given: Any) -> tuple[str, ...]:
    if given is None or given == []:
        return tuple(OUTPUTS)
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise UsageError("'outputs' is no list of tensors", fix="Send [{'name': 'probability'}], or leave it out")
    names = [str(item.get("name")) for item in given]
    for name in names:
        if name not in OUTPUTS:
            raise UsageError(f"no output is named {name!r}", fix=did_you_mean(name, OUTPUTS))
    return tuple(dict.fromkeys(names))


def _event_time(data: list[Any] | None) -> int | None:
    if data is None:
        return None
    if len(data) != 1 or not _is(data[0], "INT64"):
        raise UsageError(f"event_time is {data!r}", fix="Send one INT64, microseconds since 1970 in UTC")
    return int(data[0])
