"""The model registry: MLflow, with the alias ``champion`` for the version that serves.

A version is a plain LightGBM model of MLflow, so other tools can load it; what Mercury adds (encoding, feature service,
training provenance) is in the metadata of the model. SQLite beside the project by default, a server by
``MERCURY_MLFLOW_TRACKING_URI``.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mercury.config import Settings, without_passwords
from mercury.errors import DataError, NotFoundError, UnavailableError, UsageError, did_you_mean
from mercury.models.encoding import Encoding
from mercury.models.training import Trained

if TYPE_CHECKING:
    import lightgbm
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.models.model import ModelInfo

CHAMPION = "champion"
CHALLENGER = "challenger"
METADATA = "mercury"
METADATA_FORMAT = 1

_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""MLflow's codes for a model that is not registered, and for one without the alias."""

_ALIAS = re.compile(r"(?!v\d+$|latest$)[\w-]+", re.ASCII | re.IGNORECASE)


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
        # A server that does not answer is asked for some seconds, not for the minutes of MLflow's default.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        from mlflow import MlflowClient

        # MLflow announces each migration of a new database; users did not ask for it.
        for name in ("mlflow.store.db.utils", "alembic.runtime.migration", "mlflow.tracking._model_registry.client"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.uri = settings.mlflow_tracking_uri
        self._shown = without_passwords(self.uri)
        self._artifacts = Path(settings.state) / "mlflow-artifacts"
        self._client: MlflowClient = MlflowClient(self.uri, registry_uri=self.uri)

    def register(
        self, name: str, trained: Trained, *, service: str, provenance: Mapping[str, Any], alias: str | None = CHAMPION
    ) -> str:
        """Log a run, register its model as a new version, point the alias at it, and return the version.

        Raises `UsageError` for an alias that MLflow does not take, before anything is written, and `UnavailableError`
        when the registry cannot be used.
        """
        from mlflow.exceptions import MlflowException

        if alias is not None:
            check_alias(alias)
        try:
            version = self._new_version(name, self._log(name, trained, service, provenance))
        except MlflowException as error:
            raise self._unavailable(error) from error
        if alias is not None:
            self.promote(name, version, alias)
        return version

    def promote(self, name: str, version: str, alias: str = CHAMPION) -> None:
        """Point an alias at a version; readers see the old or the new one, never neither."""
        from mlflow.exceptions import MlflowException

        check_alias(alias)
        try:
            self._client.set_registered_model_alias(name, alias, version)
        except MlflowException as error:
            if error.error_code not in _ABSENT:
                raise self._unavailable(error) from error
            raise NotFoundError(f"model {name!r} has no version {version}", where=self._shown) from error

    def load(self, name: str, alias: str = CHAMPION) -> ModelVersion:
        """The version behind an alias, ready to predict; `NotFoundError` when there is none."""
        mlflow = self._mlflow()
        entry = self._entry(name, alias)
        address = f"models:/{name}/{entry.version}"
        info = mlflow.models.get_model_info(address)
        metadata = (info.metadata or {}).get(METADATA)
        if metadata is None or metadata.get("format") != METADATA_FORMAT:
            raise DataError(f"{address} was not written by this release of Mercury", fix=f"Run: mercury train {name}")
        return ModelVersion(
            name=name,
            version=str(entry.version),
            run_id=str(entry.run_id),
            encoding=Encoding.from_dict(metadata["encoding"]),
            service=metadata["service"],
            provenance=metadata["provenance"],
            booster=_booster(mlflow.artifacts.download_artifacts(artifact_uri=address), info),
        )

    def version(self, name: str, alias: str = CHAMPION) -> str:
        """The number of the version behind an alias, without loading it; `NotFoundError` when there is none."""
        return str(self._entry(name, alias).version)

    def metrics(self, run_id: str) -> dict[str, float]:
        """The metrics that were logged with a version's run."""
        return dict(self._client.get_run(run_id).data.metrics)

    def names(self) -> list[str]:
        """Names of all registered models."""
        names: list[str] = []
        page = None
        while page is None or page.token:
            page = self._client.search_registered_models(page_token=page.token if page is not None else None)
            names += [model.name for model in page]
        return names

    def _mlflow(self) -> Any:
        """MLflow's module, whose functions work on one registry at a time, turned to this one."""
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        return mlflow

    def _entry(self, name: str, alias: str) -> Any:
        from mlflow.exceptions import MlflowException

        check_alias(alias)
        try:
            return self._client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            if error.error_code not in _ABSENT:
                raise self._unavailable(error) from error
            near = None if name in (names := self.names()) else did_you_mean(name, names)
            fix = near if near is not None and near.startswith("Did") else f"Train one first: mercury train {name}"
            raise NotFoundError(f"no model {name!r} has the alias {alias!r}", where=self._shown, fix=fix) from error

    def _unavailable(self, error: MlflowException) -> UnavailableError:
        # MLflow's messages hold the address that it asked, as it was given.
        first = without_passwords(str(error).splitlines()[0])[:200]
        return UnavailableError(
            f"the model registry cannot be used: {first}", where=self._shown, fix="Check mlflow_tracking_uri"
        )

    def _log(self, name: str, trained: Trained, service: str, provenance: Mapping[str, Any]) -> ModelInfo:
        import lightgbm

        mlflow = self._mlflow()
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
            return mlflow.lightgbm.log_model(booster, name="model", metadata=metadata, pip_requirements=["lightgbm"])

    def _use_experiment(self, name: str) -> None:
        mlflow = self._mlflow()
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


def _booster(folder: str, info: ModelInfo) -> lightgbm.Booster:
    """The trees of a model. Only LightGBM's own text is read: MLflow would unpickle what the model says it is, and so
    let whoever may write to the registry run code in its readers."""
    import lightgbm

    flavor = info.flavors.get("lightgbm", {})
    if flavor.get("model_class") != "lightgbm.basic.Booster":
        raise DataError(
            f"{info.model_uri} holds {flavor.get('model_class')!r}, no LightGBM booster", fix="Register a Booster"
        )
    return lightgbm.Booster(model_file=str(Path(folder) / flavor["data"]))


def check_alias(alias: str) -> None:
    """Raise `UsageError` unless MLflow takes the alias."""
    if not _ALIAS.fullmatch(alias):
        raise UsageError(f"{alias!r} is no alias", fix="Use letters, digits, - and _; not 'latest' and not 'v1'")
