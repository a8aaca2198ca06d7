"""From definition to registered version: what LightGBM alone would give, and what the version says it is made from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from mercury.cli.train import train
from mercury.definitions import FeatureService, LightGBM
from mercury.errors import DataError, ExpressionError, NotFoundError, UsageError
from mercury.features import FeatureStore, training_set
from mercury.lake import Lake
from mercury.models import ModelRegistry, examples, fit, predictors, require_champions
from mercury.tables import Table
from mercury.time import parse_instant
from tests.models.conftest import PROJECT, Risk

FEATURES = ["carrier_code", "origin_code", "distance_miles", "sched_hour", "airline_flights"]


def test_a_version_answers_as_plain_lightgbm_does_on_the_same_data(risk: Risk) -> None:
    """Pandas makes the categories, and LightGBM gets the parameters of the definition by hand."""
    frame = risk.flights.filter(pc.is_valid(risk.flights["arr_delay"])).to_pandas()
    frame = frame.sort_values(["sched_dep", "flight_id"], kind="stable")
    frame["airline_flights"] = frame["airline"].map(risk.flights.to_pandas()["airline"].value_counts()).astype(float)
    early = frame["sched_dep"].astype("int64") < risk.fitted.cutoff
    inputs = frame[["carrier", "origin", "distance", "hour", "airline_flights"]].copy()
    for text in ("carrier", "origin"):
        inputs[text] = inputs[text].astype("category")
    late = frame["arr_delay"] > 15

    plain = lightgbm.train(
        {
            "objective": "binary",
            "num_leaves": 15,
            "learning_rate": 0.2,
            "seed": 1,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        },
        lightgbm.Dataset(inputs[early], late[early]),
        num_boost_round=12,
    )

    version = ModelRegistry(risk.settings).load("risk")
    plainer = inputs.astype({"carrier": str, "origin": str})
    rows = pa.table({name: pa.array(plainer[column]) for name, column in zip(FEATURES, plainer.columns, strict=True)})
    ours = np.asarray(version.booster.predict(version.encoding.matrix(rows)))
    np.testing.assert_array_equal(ours, np.asarray(plain.predict(inputs)))
    assert len(set(ours.tolist())) > 100
    assert risk.fitted.rows == {"train": int(early.sum()), "test": int((~early).sum()), "unusable": 0}


def test_the_latest_fifth_judges_unless_a_cutoff_is_given(risk: Risk) -> None:
    times = np.sort(
        risk.flights.filter(pc.is_valid(risk.flights["arr_delay"]))["sched_dep"].cast(pa.int64()).to_numpy()
    )
    assert risk.fitted.cutoff == times[int(0.8 * (len(times) - 1))]

    cutoff = parse_instant("2013-01-04")
    given = fit(risk.model, risk.settings, cutoff=cutoff, until=parse_instant("2013-01-06"), alias="trial")

    assert given.rows["train"] == int((times < cutoff).sum())
    assert given.rows["test"] == int(((times >= cutoff) & (times < parse_instant("2013-01-06"))).sum())


def test_a_category_unseen_in_training_and_a_null_are_both_missing(risk: Risk) -> None:
    version = ModelRegistry(risk.settings).load("risk")
    row = {"origin_code": "JFK", "distance_miles": 700.0, "sched_hour": 8, "airline_flights": 500.0}

    unseen, null, left_out = (
        version.encoding.vector([row | more]) for more in ({"carrier_code": "ZZ"}, {"carrier_code": None}, {})
    )

    answers = [float(np.asarray(version.booster.predict(inputs))[0]) for inputs in (unseen, null, left_out)]
    assert np.isnan(unseen[0, 0])
    assert answers[0] == answers[1] == answers[2]
    known = {
        float(np.asarray(version.booster.predict(version.encoding.vector([row | {"carrier_code": code}])))[0])
        for code in ("UA", "EV", "HA")
    }
    assert len(known) > 1


def test_two_fits_give_the_same_model_also_after_a_compaction(risk: Risk, tmp_path: Path) -> None:
    first = ModelRegistry(risk.settings).load("risk")
    scattered = Lake(str(tmp_path / "lake"))
    shuffled = risk.flights.take(np.random.default_rng(5).permutation(risk.flights.num_rows))
    table = Table.create(scattered.table("schedule"), shuffled.schema)
    for start in range(0, shuffled.num_rows, 2_000):
        table.append(shuffled.slice(start, 2_000))

    again = examples(risk.model, replace(risk.settings, lake=scattered.root))
    training = training_set(FeatureStore.of(risk.settings), first_service(risk), again, event_time="sched_dep")
    fit(risk.model, risk.settings, training=training, alias="again")

    assert again.equals(examples(risk.model, risk.settings).replace_schema_metadata(again.schema.metadata))
    assert (
        ModelRegistry(risk.settings).load("risk", "again").booster.model_to_string() == first.booster.model_to_string()
    )


def test_a_version_says_what_it_was_made_from(risk: Risk) -> None:
    found = ModelRegistry(risk.settings).load("risk").provenance

    views = {view.name: view for view in first_service(risk).views}
    assert set(found["views"]) == {"schedule", "airline_size"}
    for name, told in found["views"].items():
        manifest = FeatureStore.of(risk.settings).runs(name).manifest()
        assert told["version"] == told["materialized_version"] == views[name].version
        assert (told["data_version"], told["rows"]) == (manifest.data_version, manifest.rows)
        assert told["sources"]["table_version"] == 1
    assert found["labels"] == {
        "table": Lake(risk.settings.lake).table("schedule"),
        "table_version": 1,
        "where": "arr_delay IS NOT NULL",
        "label": "arr_delay > 15",
    }
    assert (found["service"], found["service_version"]) == ("risk_v1", first_service(risk).version)
    assert found["model_definition"] == risk.model.version
    assert parse_instant(found["cutoff"]) == risk.fitted.cutoff
    events = [json.loads(line) for line in (risk.settings.state / "lineage.jsonl").read_text().splitlines()]
    assert found["run"] in {event["run"]["runId"] for event in events if event["job"]["name"] == "train.risk"}


def test_what_cannot_be_meant_is_refused(risk: Risk) -> None:
    training = pa.table({"label": [True]})
    with pytest.raises(UsageError, match="a training set is given, and until"):
        fit(risk.model, risk.settings, training=training, until=1)
    with pytest.raises(UsageError, match="'my model' is no alias"):
        fit(risk.model, risk.settings, alias="my model")
    with pytest.raises(DataError, match="there are no examples of Model/risk"):
        fit(risk.model, risk.settings, until=parse_instant("2012-01-01"))
    with pytest.raises(ExpressionError, match=r"Did you mean 'arr_delay'\?"):
        examples(replace(risk.model, label="arr_dely > 15"), risk.settings)
    with pytest.raises(UsageError, match="LightGBM has no parameter 'max_dept'"):
        fit(replace(risk.model, trainer=LightGBM(params={"max_dept": 3})), risk.settings)


def test_a_champion_of_features_that_are_gone_is_not_served(risk: Risk, caplog: pytest.LogCaptureFixture) -> None:
    fewer = FeatureService("risk_v1", [risk.model.service.views[0]] if risk.model.service else [])
    without = replace(risk.project, definitions=[replace(risk.model, service=fewer)])
    with pytest.raises(DataError, match="needs features that 'risk_v1' does not give: airline_flights"):
        predictors(without, risk.settings)

    assert require_champions(risk.project, risk.settings) == {
        "risk": predictors(risk.project, risk.settings)["risk"].model.version
    }
    assert not caplog.records
    views = [replace(view, ttl="90d") for view in first_service(risk).views]
    other = replace(risk.project, definitions=[replace(risk.model, service=FeatureService("risk_v1", views))])
    predictors(other, risk.settings)
    assert "learned from other definitions of schedule, airline_size" in caplog.text


def test_a_model_without_a_champion_is_named_before_anything_starts(risk: Risk) -> None:
    new = replace(risk.project, definitions=[replace(risk.model, name="riskier")])

    with pytest.raises(NotFoundError, match="no model 'riskier' has the alias 'champion'"):
        require_champions(new, risk.settings)


def test_the_command_trains_registers_and_tells(risk: Risk) -> None:
    environment = {"MERCURY_STATE": str(risk.settings.state)}
    command = ["risk", "--project", str(PROJECT), "--no-ray", "--cutoff", "2013-01-06", "--alias", "told"]
    done = CliRunner().invoke(train, [*command, "--format", "json"], env=environment)

    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    version = ModelRegistry(risk.settings).load("risk", "told")
    assert (told["name"], told["version"], told["cutoff"]) == ("risk", version.version, "2013-01-06T00:00:00Z")
    assert told["metrics"] == ModelRegistry(risk.settings).metrics(version.run_id)

    human = CliRunner().invoke(train, [*command, "--threads", "2"], env=environment)
    assert human.stdout.splitlines()[0] == f"risk version {int(version.version) + 1} is told"
    wrong = CliRunner().invoke(train, ["rsk", *command[1:]], env=environment)
    assert isinstance(wrong.exception, NotFoundError)
    assert "Did you mean 'risk'?" in str(wrong.exception)


def first_service(risk: Risk) -> FeatureService:
    """The service of the model."""
    assert risk.model.service is not None
    return risk.model.service
