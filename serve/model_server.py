"""The model server as a Ray Serve application: the champions of a project by the Open Inference Protocol v2.

    serve run serve.model_server:app project=mercury_project.py
    mercury serve

The application is `mercury.models.inference`; this file only starts it. Serve's proxy listens where its HTTP options
say, which `mercury serve` sets to loopback.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI
from ray.serve import Application

from mercury.config import Settings
from mercury.runtime.serving import application


def app(args: Mapping[str, str]) -> Application:
    """The application for ``serve run`` and for a config file; ``args`` may name the ``project`` file and
    the ``state`` folder."""
    return application("ModelServer", _build, args)


def _build(settings: Settings) -> FastAPI:
    from mercury.models.inference import build_app
    from mercury.models.serving import capture_recorder, predictors
    from mercury.projects import load_project

    project = load_project(settings.project)
    return build_app(predictors(project, settings, capture_recorder(project)))
