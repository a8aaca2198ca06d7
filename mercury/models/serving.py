"""The predictors that a replica serves: the champions of a project, on the online store."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mercury.errors import DataError
from mercury.models.prediction import FeatureRow, Predictor

if TYPE_CHECKING:
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
    from mercury.models.capture import capture_of
    from mercury.models.registry import ModelRegistry

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


def capture_recorder(project: Project) -> Recorder | None:
    """What a replica tells about captured predictions; None when no monitor of the project watches a model."""
    from mercury.models.capture import CAPTURE_METRICS
    from mercury.runtime.metrics import shared_metrics

    return shared_metrics(CAPTURE_METRICS) if _watched(project) else None


def _watched(project: Project) -> set[str]:
    """Names of the models that a monitor of the project watches."""
    from mercury.definitions import Monitor

    return {monitor.model.name for monitor in project.of(Monitor) if monitor.model is not None}


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
