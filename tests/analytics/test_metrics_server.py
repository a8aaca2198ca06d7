"""The metrics server on Ray Serve: the same application below a prefix, its page, and events through the proxy."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path

import pytest
from starlette.applications import Starlette

from tests.analytics.test_http import read_events
from tests.analytics.world import Feed, project, random_events, settings_in


@pytest.mark.ray
@pytest.mark.slow
def test_the_deployment_answers_and_pushes_below_its_prefix(tmp_path: Path, ray_local: object) -> None:
    from ray import serve

    from mercury.serving.applications import deployed

    feed = Feed(settings_in(tmp_path))
    feed.commit(random_events(3, 500, "2013-07-01", "2013-07-02"))
    definition, folder = project.to_dict(), str(tmp_path)

    def build() -> Starlette:
        from mercury.analytics import Planner
        from mercury.analytics.http import build_app
        from mercury.config import load_settings
        from mercury.definitions import Project

        return build_app(Planner(Project.from_dict(definition), load_settings(f"{folder}/mercury_project.py", {})))

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/analytics"
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    try:
        serve.run(deployed("MetricsServer", build), name="metrics", route_prefix="/analytics")
        body = json.dumps({"query": "flights by day"}).encode()
        asked = urllib.request.Request(f"{url}/v1/query", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert sum(json.load(answer)["data"]["flights"]) == 500
        with urllib.request.urlopen(url, timeout=60) as page:
            # What the page names is relative to it, so its address must end in a slash.
            assert page.url == f"{url}/" and b'src="assets/live.js"' in page.read()
        (event,) = read_events(f"{url}/v1/live?q=flights", 1)
        assert event["answers"][0]["data"]["flights"] == [500]
    finally:
        serve.shutdown()
