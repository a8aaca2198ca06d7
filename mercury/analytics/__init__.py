"""Analytics: metrics as code, answered from the best mix of rollups, raw rows and the stream's live tail.

planner = Planner(project, settings)
answer = planner.answer("flights, late_rate by carrier, day where origin = 'JFK'")
answer.table                            # an Arrow table
answer.explain.lines()                  # which rollup, which rows, which version
build_rollups(project, settings, "flights")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mercury.analytics.answers import Answer, Explain
    from mercury.analytics.engine import Planner
    from mercury.analytics.model import ResolvedModel, resolve
    from mercury.analytics.query import MetricQuery, parse_query
    from mercury.analytics.rollup import Build, build_rollups

_HOMES = {
    "Answer": "answers",
    "Build": "rollup",
    "Explain": "answers",
    "MetricQuery": "query",
    "Planner": "engine",
    "ResolvedModel": "model",
    "build_rollups": "rollup",
    "parse_query": "query",
    "resolve": "model",
}


def __getattr__(name: str) -> Any:
    # Loading a project checks its models, which takes none of the engines behind the other names.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = [
    "Answer",
    "Build",
    "Explain",
    "MetricQuery",
    "Planner",
    "ResolvedModel",
    "build_rollups",
    "parse_query",
    "resolve",
]
