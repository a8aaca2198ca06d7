"""The registry: versions under aliases, readable by MLflow itself, and one clear error for what is not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lightgbm
import mlflow
import numpy as np
import pytest

from mercury.config import Settings, load_settings
from mercury.errors import DataError, NotFoundError, UnavailableError, UsageError
from mercury.models import CHALLENGER, Column, Encoding, ModelRegistry, Trained

INPUTS = np.linspace(0, 50, 200).reshape(-1, 1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("registry")
    return load_settings(folder / "project.py", {"MERCURY_STATE": str(folder / "state")})


@pytest.fixture(scope="module")
def registry(settings: Settings) -> ModelRegistry:
    return ModelRegistry(settings)


def trained(threshold: float) -> Trained:
    data = lightgbm.Dataset(INPUTS, (INPUTS[:, 0] > threshold).astype(float), feature_name=["delay"])
    params = {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5}
    booster = lightgbm.train(params, data, 5)
    return Trained(booster.model_to_string(), Encoding((Column("delay"),)), {"auc": 0.75}, {"train": 200}, params)


def register(registry: ModelRegistry, name: str, threshold: float = 20.0, **options: str | None) -> str:
    return registry.register(name, trained(threshold), service="s", provenance={"views": {"v": 3}}, **options)


def test_a_registered_model_comes_back_as_it_was(registry: ModelRegistry) -> None:
    version = register(registry, "whole")

    found = registry.load("whole")

    assert (found.name, found.version, found.service) == ("whole", version, "s")
    assert found.provenance == {"views": {"v": 3}}
    assert found.encoding == Encoding((Column("delay"),))
    expected = lightgbm.Booster(model_str=trained(20.0).booster).predict(INPUTS)
    np.testing.assert_array_equal(np.asarray(found.booster.predict(INPUTS)), expected)
    assert registry.metrics(found.run_id) == {"auc": 0.75}


def test_a_pickle_in_the_registry_is_not_opened(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    version = register(registry, "pickled")
    info = mlflow.models.get_model_info(f"models:/pickled/{version}")
    info.flavors["lightgbm"]["model_class"] = "lightgbm.sklearn.LGBMClassifier"
    monkeypatch.setattr(mlflow.models, "get_model_info", lambda address: info)
    monkeypatch.setattr("pickle.load", lambda file: pytest.fail("unpickled"))

    with pytest.raises(DataError, match=r"'lightgbm\.sklearn\.LGBMClassifier', no LightGBM booster"):
        registry.load("pickled")


def test_a_second_version_takes_the_alias_and_the_first_can_have_it_back(registry: ModelRegistry) -> None:
    first, second = register(registry, "twice", 10.0), register(registry, "twice", 40.0)

    assert (first, second, registry.version("twice")) == ("1", "2", "2")
    at_30 = [float(np.asarray(registry.load("twice").booster.predict([[30.0]]))[0])]
    registry.promote("twice", first)
    at_30.append(float(np.asarray(registry.load("twice").booster.predict([[30.0]]))[0]))
    assert at_30[0] < 0.5 < at_30[1]


def test_a_challenger_leaves_the_champion_where_it_is(registry: ModelRegistry) -> None:
    champion = register(registry, "rivals")
    challenger = register(registry, "rivals", alias=CHALLENGER)
    silent = register(registry, "rivals", alias=None)

    assert registry.version("rivals") == champion
    assert registry.version("rivals", CHALLENGER) == challenger
    assert [champion, challenger, silent] == ["1", "2", "3"]


def test_mlflow_itself_reads_a_version_with_its_figures(registry: ModelRegistry, settings: Settings) -> None:
    import mlflow
    from mlflow import MlflowClient

    version = register(registry, "open")
    client = MlflowClient(settings.mlflow_tracking_uri)

    entry = client.get_model_version_by_alias("open", "champion")
    run = client.get_run(entry.run_id)
    assert (entry.version, run.data.metrics, run.data.params["rows_train"]) == (int(version), {"auc": 0.75}, "200")
    mlflow.set_tracking_uri(settings.mlflow_tracking_uri)
    model = mlflow.pyfunc.load_model("models:/open@champion")
    np.testing.assert_array_equal(model.predict(INPUTS), registry.load("open").booster.predict(INPUTS))


def test_two_registries_of_one_process_keep_apart(registry: ModelRegistry, tmp_path: Path) -> None:
    register(registry, "here")
    other = ModelRegistry(load_settings(tmp_path / "project.py", {"MERCURY_STATE": str(tmp_path / "state")}))
    register(other, "there")

    assert registry.load("here").version == "1"
    assert (other.load("there").version, other.names()) == ("1", ["there"])
    assert "there" not in registry.names()


def test_a_model_that_was_never_trained_is_not_found(registry: ModelRegistry) -> None:
    register(registry, "delay_risk", alias=CHALLENGER)

    with pytest.raises(
        NotFoundError, match=r"no model 'delay_rsk' has the alias 'champion' .* Did you mean 'delay_risk'"
    ):
        registry.load("delay_rsk")
    with pytest.raises(NotFoundError, match="Train one first: mercury train forecast"):
        registry.load("forecast")
    # It is registered, but nothing is its champion: its own name is no advice.
    with pytest.raises(NotFoundError, match="Train one first: mercury train delay_risk"):
        registry.load("delay_risk")


def test_a_version_that_does_not_exist_is_not_promoted(registry: ModelRegistry) -> None:
    register(registry, "single")

    with pytest.raises(NotFoundError, match="model 'single' has no version 7"):
        registry.promote("single", "7")
    assert registry.version("single") == "1"


@pytest.mark.parametrize("alias", ["", "the champion", "latest", "v2"])
def test_an_alias_that_mlflow_does_not_take_is_refused_before_anything_is_written(
    registry: ModelRegistry, alias: str
) -> None:
    with pytest.raises(UsageError, match=f"'{alias}' is no alias"):
        register(registry, "nobody", alias=alias)
    assert "nobody" not in registry.names()


def test_a_model_of_another_tool_is_told_apart(registry: ModelRegistry, settings: Settings) -> None:
    import mlflow

    register(registry, "foreign", alias=None)
    mlflow.set_tracking_uri(settings.mlflow_tracking_uri)
    with mlflow.start_run():
        booster = lightgbm.Booster(model_str=trained(20.0).booster)
        mlflow.lightgbm.log_model(booster, name="model", registered_model_name="foreign", pip_requirements=["lightgbm"])
    registry.promote("foreign", "2")

    with pytest.raises(DataError, match="models:/foreign/2 was not written by this release of Mercury"):
        registry.load("foreign")


def test_a_server_that_does_not_answer_is_unavailable_not_empty(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = ModelRegistry(replace(settings, mlflow_tracking_uri="http://me:s3cret@127.0.0.1:9"))

    with pytest.raises(UnavailableError, match=r"the model registry cannot be used: .* \(http://me:") as caught:
        away.load("whole")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(UnavailableError, match="Check mlflow_tracking_uri"):
        register(away, "whole")
