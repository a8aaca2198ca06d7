"""The model server: the champions of a project by the Open Inference Protocol v2 (`mercury.models.inference`)."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI
from ray.serve import Application

from mercury.config import Settings
from mercury.serving.applications import application


def app(args: Mapping[str, str]) -> Application:
    """The application for ``serve run`` and for a config file.

    ``args`` may name the ``project`` file and the ``state`` folder; errors are those of `application`.
    """
    return application("ModelServer", _build, args)


def _build(settings: Settings) -> FastAPI:
    from mercury.models.inference import build_app
    from mercury.models.serving import capture_recorder, predictors
    from mercury.projects import load_project

    project = load_project(settings.project)
    return build_app(predictors(project, settings, capture_recorder(project)))
