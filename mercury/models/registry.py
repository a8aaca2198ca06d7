"""The model registry: MLflow, with the alias ``champion`` for the version that serves.

A version is a plain LightGBM model of MLflow, so other tools can load it; what Mercury adds (encoding, feature service,
training provenance) is in the metadata of the model. SQLite beside the project by default, a server by
``MERCURY_MLFLOW_TRACKING_URI``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mercury.config import Settings
from mercury.errors import DataError, NotFoundError, did_you_mean
from mercury.models.encoding import Encoding
from mercury.models.training import Trained

if TYPE_CHECKING:
    import lightgbm
    from mlflow import MlflowClient
    from mlflow.models.model import ModelInfo

CHAMPION = "champion"
CHALLENGER = "challenger"
METADATA = "mercury"
METADATA_FORMAT = 1


@dataclass(frozen=True)
class ModelVersion:
    """One registered version: its number, the run that made it, what it was trained on and how it did."""

    name: str
    version: str
    run_id: str
    encoding: Encoding
    service: str
    provenance: Mapping[str, Any]
    booster: lightgbm.Booster


class ModelRegistry:
    """Registered versions of a project's models."""

    def __init__(self, settings: Settings) -> None:
        # MLflow reports usage to its makers unless told otherwise, before it is imported.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow
        from mlflow import MlflowClient

        # MLflow announces each migration of a new database; users did not ask for it.
        for name in ("mlflow.store.db.utils", "alembic.runtime.migration", "mlflow.tracking._model_registry.client"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.uri = settings.mlflow_tracking_uri
        self._artifacts = Path(settings.state) / "mlflow-artifacts"
        mlflow.set_tracking_uri(self.uri)
        self._client: MlflowClient = MlflowClient(self.uri)

    def register(
        self, name: str, trained: Trained, *, service: str, provenance: Mapping[str, Any], alias: str | None = CHAMPION
    ) -> str:
        """Log a run, register its model as a new version, point the alias at it, and return the version."""
        import lightgbm
        import mlflow

        self._use_experiment(name)
        booster = lightgbm.Booster(model_str=trained.booster)
        metadata = {
            METADATA: {
                "format": METADATA_FORMAT,
                "encoding": trained.encoding.to_dict(),
                "service": service,
                "provenance": dict(provenance),
            }
        }
        with mlflow.start_run():
            mlflow.log_params({key: str(value) for key, value in trained.params.items()})
            mlflow.log_params({f"rows_{side}": count for side, count in trained.rows.items()})
            mlflow.log_metrics(dict(trained.metrics))
            info = mlflow.lightgbm.log_model(booster, name="model", metadata=metadata, pip_requirements=["lightgbm"])
        version = self._new_version(name, info)
        if alias is not None:
            self.promote(name, version, alias)
        return version

    def promote(self, name: str, version: str, alias: str = CHAMPION) -> None:
        """Point an alias at a version; readers see the old or the new one, never neither."""
        self._client.set_registered_model_alias(name, alias, version)

    def load(self, name: str, alias: str = CHAMPION) -> ModelVersion:
        """The version behind an alias, ready to predict; `NotFoundError` when there is none."""
        import mlflow
        from mlflow.exceptions import MlflowException

        try:
            entry = self._client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            raise NotFoundError(
                f"no model {name!r} has the alias {alias!r}",
                where=self.uri,
                fix=did_you_mean(name, self.names()) or f"Train one first: mercury train {name}",
            ) from error
        address = f"models:/{name}/{entry.version}"
        metadata = (mlflow.models.get_model_info(address).metadata or {}).get(METADATA)
        if metadata is None or metadata.get("format") != METADATA_FORMAT:
            raise DataError(f"{address} was not written by this release of Mercury", fix=f"Run: mercury train {name}")
        return ModelVersion(
            name=name,
            version=str(entry.version),
            run_id=str(entry.run_id),
            encoding=Encoding.from_dict(metadata["encoding"]),
            service=metadata["service"],
            provenance=metadata["provenance"],
            booster=mlflow.lightgbm.load_model(address),
        )

    def metrics(self, run_id: str) -> dict[str, float]:
        """The metrics that were logged with a version's run."""
        return dict(self._client.get_run(run_id).data.metrics)

    def names(self) -> list[str]:
        """Names of all registered models."""
        return [model.name for model in self._client.search_registered_models()]

    def _use_experiment(self, name: str) -> None:
        import mlflow

        # A server keeps artifacts where it decides; the database beside a project needs to be told.
        if self.uri.startswith("sqlite:") and mlflow.get_experiment_by_name(name) is None:
            self._artifacts.mkdir(parents=True, exist_ok=True)
            mlflow.create_experiment(name, artifact_location=(self._artifacts / name).as_uri())
        mlflow.set_experiment(name)

    def _new_version(self, name: str, model: ModelInfo) -> str:
        """Register a logged model. MLflow's own shorthand prints what it does."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        entry = self._client.create_model_version(name, model.model_uri, model.run_id, model_id=model.model_id)
        return str(entry.version)
