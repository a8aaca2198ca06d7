"""Models as a Ray Serve application: each replica loads the champions and maps the online store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mercury.models.prediction import FeatureRow, Predictor

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application

    from mercury.config import Settings
    from mercury.definitions import Project


def predictors(project: Project, settings: Settings) -> dict[str, Predictor]:
    """A predictor for every model of the project, by name; `NotFoundError` for one without a champion."""
    from mercury.definitions import Model
    from mercury.features import FeatureStore
    from mercury.models.fitting import entity_keys
    from mercury.models.registry import ModelRegistry

    reader = FeatureStore.of(settings).reader()
    registry = ModelRegistry(settings)
    loaded: dict[str, Predictor] = {}
    for model in project.of(Model):
        service = model.service
        assert service is not None

        def lookup(keys: Sequence[Mapping[str, Any]], now: int | None, views: Any = service) -> list[FeatureRow]:
            found = reader.lookup(views, list(keys), now=now)
            return [FeatureRow(found.row(row), found.provenance(row)) for row in range(len(keys))]

        loaded[model.name] = Predictor(registry.load(model.name), lookup, entity_keys(model))
    return loaded


def application(args: Mapping[str, str]) -> Application:
    """The application for ``serve run`` and for a config file; ``args`` may name the ``project`` file."""
    from ray import serve

    project = Path(args["project"]) if "project" in args else None
    state = Path(args["state"]) if "state" in args else None

    def build() -> FastAPI:
        # Runs in the replica: neither a mapped store nor a loaded model can be sent there.
        from mercury.models.inference import build_app
        from mercury.projects import load_project

        settings = _settings(project, state)
        return build_app(predictors(load_project(settings.project), settings))

    @serve.deployment(name="ModelServer", max_ongoing_requests=64)
    @serve.ingress(build)
    class ModelServer:
        """Holds the ASGI application; requests go to it directly."""

    return ModelServer.bind()  # type: ignore[attr-defined]


def _settings(project: Path | None, state: Path | None) -> Settings:
    import os

    from mercury.config import load_settings

    environment = dict(os.environ) | ({"MERCURY_STATE": str(state)} if state else {})
    return load_settings(project, environment)
