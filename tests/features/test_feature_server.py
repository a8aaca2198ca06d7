"""The feature server on Ray Serve: the same application, over HTTP, on loopback."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pyarrow as pa
import pytest
from starlette.applications import Starlette

from mercury import BatchTable, Entity, FeatureService, FeatureView, Project
from mercury.features.instants import UTC_MICROSECONDS
from mercury.features.layout import CREATED_TIME, EVENT_TIME
from mercury.features.online import ShardWriter
from mercury.runtime.loopback import free_ports

SOURCE = BatchTable("t", schema={"k": "string", "x": "float64", "ts": "timestamp"}, event_time="ts")
VIEW = FeatureView("v", Entity("e", "k"), SOURCE, ["x"])
PROJECT = Project("p", [FeatureService("s", [VIEW])])


@pytest.mark.ray
@pytest.mark.slow
def test_the_deployment_answers_in_feasts_shape(tmp_path: Path, ray_local: object) -> None:
    from ray import serve

    from mercury.serving.applications import deployed

    stamps = pa.array([5], UTC_MICROSECONDS)
    rows = pa.table({"k": ["a"], "x": [1.5], EVENT_TIME: stamps, CREATED_TIME: stamps})
    ShardWriter(tmp_path).write("v", VIEW.version, rows, keys=["k"], features=["x"], epoch=3)
    project, folder = PROJECT.to_dict(), str(tmp_path)

    def build() -> Starlette:
        from mercury.definitions import Project as Definition
        from mercury.features.http import build_app
        from mercury.features.online import OnlineReader

        return build_app(Definition.from_dict(project), OnlineReader(Path(folder)))

    port = free_ports(1)[0]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    try:
        serve.run(deployed("FeatureServer", build), name="features", route_prefix="/")
        body = json.dumps({"feature_service": "s", "entities": {"k": ["a", "b"]}}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/get-online-features", body, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            document = json.load(answer)
        assert document["results"][1]["values"] == [1.5, None]
        assert document["results"][1]["statuses"] == ["PRESENT", "NOT_FOUND"]
        assert document["metadata"]["provenance"]["v"]["epochs"] == [3, None]
    finally:
        serve.shutdown()
