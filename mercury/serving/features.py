"""The feature server: one replica maps the online store and answers in Feast's shape (`mercury.features.http`)."""

from __future__ import annotations

from collections.abc import Mapping

from ray.serve import Application
from starlette.applications import Starlette

from mercury.config import Settings
from mercury.serving.applications import application


def app(args: Mapping[str, str]) -> Application:
    """The application for ``serve run`` and for a config file.

    ``args`` may name the ``project`` file and the ``state`` folder; errors are those of `application`.
    """
    return application("FeatureServer", _build, args)


def _build(settings: Settings) -> Starlette:
    from mercury.features import FeatureStore
    from mercury.features.http import build_app
    from mercury.projects import load_project

    return build_app(load_project(settings.project), FeatureStore.of(settings).reader())
