"""The metrics server as a Ray Serve application: queries, live events and the page of a project's semantic models.

    serve run serve.metrics_server:app project=mercury_project.py
    mercury live                                                       the same without Ray

The application is `mercury.analytics.http`; this file only starts it. Serve's proxy listens where its HTTP options say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from starlette.applications import Starlette


def app(args: Mapping[str, str]) -> Application:
    """The application for ``serve run`` and for a config file; ``args`` may name the ``project`` file and
    the ``state`` folder."""
    project = Path(args["project"]) if "project" in args else None
    state = {"MERCURY_STATE": args["state"]} if "state" in args else {}

    def build() -> Starlette:
        # Runs in the replica, which opens its own tables.
        from mercury.analytics import Planner
        from mercury.analytics.http import build_app
        from mercury.config import load_settings
        from mercury.projects import load_project
        from mercury.runtime.serving import replica_on_loopback

        replica_on_loopback()
        settings = load_settings(project, {**os.environ, **state})
        return build_app(Planner(load_project(settings.project), settings))

    return build_deployment(build).bind()


def build_deployment(build: Callable[[], Starlette], *, replicas: int = 1) -> Any:
    """A Serve deployment of the application that `build` makes in each replica; live pages hold a request each."""

    @serve.deployment(name="MetricsServer", max_ongoing_requests=128, num_replicas=replicas)
    @serve.ingress(build)
    class MetricsServer:
        """Holds the ASGI application; requests go to it directly."""

    return MetricsServer
