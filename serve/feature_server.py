"""The feature server as a Ray Serve application: one replica maps the online store and answers in Feast's shape.

    serve run serve.feature_server:app project=mercury_project.py
    mercury serve

The application is `mercury.features.http`; this file only starts it. Serve's proxy listens where its HTTP options say,
which `mercury serve` sets to loopback.
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
        # Runs in the replica: neither a mapped store nor an application can be sent there.
        from mercury.config import load_settings
        from mercury.features import FeatureStore
        from mercury.features.http import build_app
        from mercury.projects import load_project
        from mercury.runtime.serving import replica_on_loopback

        replica_on_loopback()
        settings = load_settings(project, {**os.environ, **state})
        return build_app(load_project(settings.project), FeatureStore.of(settings).reader())

    return build_deployment(build).bind()


def build_deployment(build: Callable[[], Starlette], *, replicas: int = 1) -> Any:
    """A Serve deployment of the application that `build` makes in each replica."""

    @serve.deployment(name="FeatureServer", max_ongoing_requests=64, num_replicas=replicas)
    @serve.ingress(build)
    class FeatureServer:
        """Holds the ASGI application; requests go to it directly."""

    return FeatureServer
