"""Models as a Ray Serve application: each replica loads the champions and maps the online store."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mercury.errors import DataError, UsageError, did_you_mean
from mercury.models.prediction import FeatureRow, Predictor

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application

    from mercury.config import Settings
    from mercury.definitions import Model, Project
    from mercury.models.registry import ModelVersion
    from mercury.runtime.metrics import Recorder

_log = logging.getLogger(__name__)


def predictors(project: Project, settings: Settings, recorder: Recorder | None = None) -> dict[str, Predictor]:
    """A predictor for every model of the project, by name; answers of a model that has a monitor are captured.

    Raises `NotFoundError` for a model without a champion, `DataError` for a champion of features that the project's
    service does not give. A champion that learned from other definitions of its features is served with a warning.
    """
    from mercury.definitions import Model
    from mercury.features import FeatureStore
    from mercury.models.registry import ModelRegistry
    from mercury.observability.capture import capture_of

    watched = _watched(project)
    reader = FeatureStore.of(settings).reader()
    registry = ModelRegistry(settings)
    loaded: dict[str, Predictor] = {}
    for model in project.of(Model):
        service = model.service
        assert service is not None

        def lookup(keys: Sequence[Mapping[str, Any]], now: int | None, views: Any = service) -> list[FeatureRow]:
            found = reader.lookup(views, list(keys), now=now)
            return [FeatureRow(found.row(row), found.provenance(row)) for row in range(len(keys))]

        champion = registry.load(model.name)
        _check_features(champion, model)
        capture = capture_of(model, champion, settings, recorder) if model.name in watched else None
        loaded[model.name] = Predictor(champion, lookup, _key_types(model), capture=capture)
    return loaded


def require_champions(project: Project, settings: Settings) -> dict[str, str]:
    """The champion's version of every model of the project; `NotFoundError` for one without."""
    from mercury.definitions import Model
    from mercury.models.registry import ModelRegistry

    models = [model.name for model in project.of(Model)]
    registry = ModelRegistry(settings) if models else None
    return {name: registry.version(name) for name in models} if registry else {}


def application(args: Mapping[str, str]) -> Application:
    """The application for ``serve run`` and for a config file.

    ``args`` may name the ``project`` file and the ``state`` folder; other names are refused with `UsageError`.
    """
    from ray import serve

    for name in args:
        if name not in ("project", "state"):
            raise UsageError(
                f"{name!r} is no argument of the application", fix=did_you_mean(name, ["project", "state"])
            )
    project = Path(args["project"]) if "project" in args else None
    state = Path(args["state"]) if "state" in args else None

    def build() -> FastAPI:
        # Runs in the replica: neither a mapped store nor a loaded model can be sent there.
        from mercury.models.inference import build_app
        from mercury.projects import load_project
        from mercury.runtime.serving import replica_on_loopback

        replica_on_loopback()
        settings = _settings(project, state)
        loaded = load_project(settings.project)
        recorder = _capture_recorder() if _watched(loaded) else None
        return build_app(predictors(loaded, settings, recorder))

    @serve.deployment(name="ModelServer", max_ongoing_requests=64)
    @serve.ingress(build)
    class ModelServer:
        """Holds the ASGI application; requests go to it directly."""

    return ModelServer.bind()  # type: ignore[attr-defined]


def _watched(project: Project) -> set[str]:
    """Names of the models that a monitor of the project watches."""
    from mercury.definitions import Monitor

    return {monitor.model.name for monitor in project.of(Monitor) if monitor.model is not None}


def _capture_recorder() -> Recorder:
    from mercury.observability.capture import CAPTURE_METRICS
    from mercury.runtime.metrics import shared_metrics

    return shared_metrics(CAPTURE_METRICS)


def _key_types(model: Model) -> dict[str, str]:
    """The types of the entity keys, as the sources of the views have them."""
    assert model.service is not None
    types: dict[str, str] = {}
    for view in model.service.views:
        assert view.entity is not None and view.source is not None
        for key in view.entity.keys:
            types.setdefault(key, view.source.schema[key])
    return types


def _check_features(champion: ModelVersion, model: Model) -> None:
    """A feature that is no longer there would be missing in every request, without a word."""
    from mercury.models.fitting import feature_names

    assert model.service is not None
    lost = [name for name in champion.encoding.names if name not in feature_names(model)]
    if lost:
        raise DataError(
            f"champion {champion.version} of {model.name!r} needs features that {model.service.name!r} does not give: "
            + ", ".join(lost),
            fix=f"Run: mercury train {model.name}",
        )
    learned = champion.provenance.get("views", {})
    changed = [view.name for view in model.service.views if learned.get(view.name, {}).get("version") != view.version]
    if changed:
        _log.warning(
            "champion %s of %s learned from other definitions of %s; train it anew",
            champion.version,
            model.name,
            ", ".join(changed),
        )


def _settings(project: Path | None, state: Path | None) -> Settings:
    import os

    from mercury.config import load_settings

    environment = dict(os.environ) | ({"MERCURY_STATE": str(state)} if state else {})
    return load_settings(project, environment)
