"""The metrics server: queries, live events and the page of semantic models (`mercury.analytics.http`)."""

from __future__ import annotations

from collections.abc import Mapping

from ray.serve import Application
from starlette.applications import Starlette

from mercury.config import Settings
from mercury.serving.applications import application

LIVE_PAGES = 128
"""Requests that a replica holds at once: a live page is one for as long as it is open."""


def app(args: Mapping[str, str]) -> Application:
    """The application for ``serve run`` and for a config file.

    ``args`` may name the ``project`` file and the ``state`` folder; errors are those of `application`.
    """
    return application("MetricsServer", _build, args, max_ongoing_requests=LIVE_PAGES)


def _build(settings: Settings) -> Starlette:
    from mercury.analytics import Planner
    from mercury.analytics.http import build_app
    from mercury.projects import load_project

    return build_app(Planner(load_project(settings.project), settings))
