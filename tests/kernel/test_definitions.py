"""Definitions: canonical bytes that never change, hashes that follow references, and errors that name the place."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mercury import definitions as d
from mercury.definitions.base import canonical_json
from mercury.errors import DefinitionError, NotFoundError


def stream(**options: object) -> d.Stream:
    values: dict[str, object] = {
        "source": d.Kafka("flights"),
        "schema": {"id": "string", "ts": "timestamp", "carrier": "string", "dep_delay": "float64"},
        "event_time": "ts",
        "key": "id",
    }
    return d.Stream("flights", **{**values, **options})  # type: ignore[arg-type]


def window(**aggregates: d.Aggregate) -> d.Window:
    return d.Window("w", source=stream(), aggregates=aggregates)


FLIGHTS = stream(lateness="2h", contract="contracts/flights.odcs.yaml")
CARRIER = d.Entity("carrier", keys="carrier")
VIEW = d.FeatureView(
    "carrier_delay",
    entity=CARRIER,
    source=FLIGHTS,
    features={"flights_1d": d.Count(over="1d"), "p90_7d": d.Quantile("dep_delay", q=0.9, over="7d")},
    ttl="7d",
)
HOURLY = d.Window("hourly", source=FLIGHTS, keys=["carrier"], aggregates={"late": d.Mean("dep_delay > 15")})
SERVICE = d.FeatureService("risk", views=[VIEW])
MODEL = d.Model("delay", service=SERVICE, labels=FLIGHTS, label="dep_delay > 15", event_time="ts")
TABLE = d.BatchTable("weather", schema={"origin": "string", "at": "timestamp"}, event_time="at", job="weather")
JOB = d.Job("weather", script="jobs/weather.py", inputs=["raw"], output="weather", engine="duckdb")
PARTS = (FLIGHTS, CARRIER, HOURLY, SERVICE, MODEL, TABLE, JOB)
PROJECT = d.Project("flights", [HOURLY, MODEL, TABLE, JOB])

GOLDEN = [
    (
        FLIGHTS,
        '{"contract":"contracts/flights.odcs.yaml","event_time":"ts","key":["id"],"kind":"Stream","lateness":"2h",'
        '"name":"flights","schema":{"map":[["id","string"],["ts","timestamp"],["carrier","string"],'
        '["dep_delay","float64"]]},"source":{"kind":"Kafka","topic":"flights"}}',
        "6d726b7f1103ad0f",
    ),
    (CARRIER, '{"keys":["carrier"],"kind":"Entity","name":"carrier"}', "245ee3fcde70095d"),
    (
        VIEW,
        '{"entity":{"ref":"Entity/carrier"},"features":{"map":[["flights_1d",{"kind":"Count","over":"1d"}],["p90_7d",'
        '{"kind":"Quantile","of":"dep_delay","over":"7d","q":0.9}]]},"kind":"FeatureView","name":"carrier_delay",'
        '"source":{"ref":"Stream/flights"},"ttl":"7d"}',
        "2c67325b316ce171",
    ),
    (
        HOURLY,
        '{"aggregates":{"map":[["late",{"kind":"Mean","of":"dep_delay > 15"}]]},"keys":["carrier"],"kind":"Window",'
        '"name":"hourly","source":{"ref":"Stream/flights"}}',
        "600594e2d18cbd1f",
    ),
    (
        SERVICE,
        '{"kind":"FeatureService","name":"risk","views":[{"ref":"FeatureView/carrier_delay"}]}',
        "fc138b89808adc5f",
    ),
    (
        MODEL,
        '{"event_time":"ts","kind":"Model","label":"dep_delay > 15","labels":{"ref":"Stream/flights"},"name":"delay",'
        '"service":{"ref":"FeatureService/risk"}}',
        "c8bbaaee3745379c",
    ),
    (
        TABLE,
        '{"event_time":"at","job":"weather","kind":"BatchTable","name":"weather",'
        '"schema":{"map":[["origin","string"],["at","timestamp"]]}}',
        "037c43c775c08824",
    ),
    (
        JOB,
        '{"engine":"duckdb","inputs":["raw"],"kind":"Job","name":"weather","output":"weather",'
        '"script":"jobs/weather.py"}',
        "11cdd6f5c2505b3d",
    ),
    (d.Count(), '{"kind":"Count"}', "ee236763b8f3fe6f"),
    (d.Sum("x"), '{"kind":"Sum","of":"x"}', "616ff0b9934bc8bc"),
    (d.Mean("x", where="y > 0"), '{"kind":"Mean","of":"x","where":"y > 0"}', "1d50dfe5b0131470"),
    (d.Variance("x", ddof=0), '{"ddof":0,"kind":"Variance","of":"x"}', "205817eae09f7426"),
    (d.StdDev("x"), '{"kind":"StdDev","of":"x"}', "866c89f828be4528"),
    (d.Min("x", over="1d"), '{"kind":"Min","of":"x","over":"1d"}', "041f92d5948d75b4"),
    (d.Max("x"), '{"kind":"Max","of":"x"}', "3dc370b5493f6892"),
    (d.First("x"), '{"kind":"First","of":"x"}', "6397cae6a85d3e3a"),
    (d.Last("x"), '{"kind":"Last","of":"x"}', "ee3bcc07cc06946e"),
    (d.CountDistinct("x", exact=True), '{"exact":true,"kind":"CountDistinct","of":"x"}', "e32f8e48ec41f393"),
    (d.Quantile("x", q=1, accuracy=0.02), '{"accuracy":0.02,"kind":"Quantile","of":"x","q":1.0}', "bfc9a73018428b32"),
    (d.TopK("x", k=3), '{"k":3,"kind":"TopK","of":"x"}', "cea8f7bd82da025d"),
    (d.Histogram("x", edges=[0, 1.5]), '{"edges":[0.0,1.5],"kind":"Histogram","of":"x"}', "511dfd4cceafd41b"),
]
"""Stored projects are read by these bytes and found by these hashes: a change here breaks every registry."""


@pytest.mark.parametrize(("part", "text", "version"), GOLDEN, ids=lambda value: getattr(value, "kind", ""))
def test_canonical_bytes_and_version_are_golden(part: d.Definition, text: str, version: str) -> None:
    assert part.canonical_json() == text.encode()
    assert part.version == version


def test_project_bytes_are_golden() -> None:
    parts = (VIEW, *PARTS)
    inner = {part.address: json.loads(text) for part, text, _ in GOLDEN if part in parts}
    expected = {"format": 2, "project": "flights", "definitions": inner}
    assert json.loads(canonical_json(PROJECT.to_dict())) == expected
    assert PROJECT.version == "4b7246998619d6da"


def test_project_reads_back_from_its_stored_form() -> None:
    back = d.Project.from_dict(json.loads(canonical_json(PROJECT.to_dict())))
    assert back == PROJECT
    assert back.version == PROJECT.version
    assert [part.version for part in back.definitions] == [part.version for part in PROJECT.definitions]


FORMAT_1 = (
    '{"contracts":{"contracts/flights.odcs.yaml":"' + "ab" * 32 + '"},"definitions":{"FeatureView/v":{"entity":{"ref":'
    '"Entity/e"},"features":{"b":{"kind":"Count","over":"1d"},"ref":{"kind":"Mean","of":"delay","over":"2d"}},"kind":'
    '"FeatureView","name":"v","source":{"ref":"Stream/s"}},"Entity/e":{"keys":["id"],"kind":"Entity","name":"e"},'
    '"Stream/s":{"contract":"contracts/flights.odcs.yaml","event_time":"ts","kind":"Stream","name":"s","schema":'
    '{"delay":"float64","id":"string","kind":"string","ts":"timestamp"},"source":{"kind":"Kafka","topic":"s"}}},'
    '"format":1,"project":"old"}'
)
"""Format 1 wrote mappings as objects in the order of their keys, and the contracts' hashes beside the definitions."""


def test_project_of_format_1_is_still_read() -> None:
    back = d.Project.from_dict(json.loads(FORMAT_1))
    view = back.get(d.FeatureView, "v")
    assert dict(view.columns) == {"b": d.Count(over="1d"), "ref": d.Mean("delay", over="2d")}
    assert list(back.get(d.Stream, "s").schema) == ["delay", "id", "kind", "ts"]
    assert back.get(d.Stream, "s").contract_sha256 == "ab" * 32
    assert back.contracts == {"contracts/flights.odcs.yaml": "ab" * 32}
    assert d.Project.from_dict(json.loads(canonical_json(back.to_dict()))) == back


def test_what_a_definition_uses_is_part_of_the_project() -> None:
    assert d.Project("p", [MODEL]).definitions == tuple(
        sorted([MODEL, SERVICE, VIEW, CARRIER, FLIGHTS], key=lambda part: part.address)
    )


def test_order_of_listing_and_of_keywords_is_no_meaning() -> None:
    assert d.Project("p", [TABLE, JOB]).version == d.Project("p", [JOB, TABLE]).version
    assert d.Entity(keys="a", name="e").version == d.Entity(name="e", keys="a").version
    one, other = d.LightGBM(params={"eta": 0.1, "num_leaves": 31}), d.LightGBM(params={"num_leaves": 31, "eta": 0.1})
    assert (one, one.version) == (other, other.version)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (stream(), stream(schema=dict(reversed(list(stream().schema.items()))))),
        (
            TABLE,
            d.BatchTable("weather", schema={"at": "timestamp", "origin": "string"}, event_time="at", job="weather"),
        ),
        (VIEW, replace(VIEW, features=dict(reversed(list(VIEW.columns.items()))))),
        (window(a=d.Count(), b=d.Sum("dep_delay")), window(b=d.Sum("dep_delay"), a=d.Count())),
        (d.Entity("e", keys=["a", "b"]), d.Entity("e", keys=["b", "a"])),
    ],
    ids=["schema", "table", "features", "aggregates", "keys"],
)
def test_order_of_columns_features_and_keys_is_meaning(one: d.Named, other: d.Named) -> None:
    assert one != other
    assert one.version != other.version


def test_names_that_the_form_uses_itself_are_names_like_others() -> None:
    columns = {"ts": "timestamp", "ref": "string", "kind": "string", "map": "string", "name": "string"}
    source = stream(schema=columns, key=["ref", "kind"])
    table = d.BatchTable("t", schema=columns, event_time="ts")
    views = [
        d.FeatureView("one", entity=d.Entity("e", "name"), source=table, features={"ref": "ref"}),
        d.FeatureView("two", entity=d.Entity("e", "name"), source=table, features={"kind": "Count", "map": "map"}),
        d.FeatureView("three", entity=d.Entity("e", "name"), source=source, features={"ref": d.Count(over="1d")}),
    ]
    trained = d.Model(
        "m",
        service=d.FeatureService("s", views[:1]),
        labels=table,
        label="kind = 'late'",
        event_time="ts",
        trainer=d.LightGBM(params={"ref": "Stream/flights", "kind": "Count", "map": 1}),
    )
    hourly = d.Window("w", source=source, keys="map", aggregates={"kind": d.Count(), "ref": d.Count("ref")})
    project = d.Project("p", [*views, trained, hourly])
    back = d.Project.from_dict(json.loads(canonical_json(project.to_dict())))
    assert back == project
    assert list(back.get(d.Stream, "flights").schema.items()) == list(columns.items())
    assert back.get(d.FeatureView, "one").columns == {"ref": "ref"}
    assert back.get(d.FeatureView, "two").columns == {"kind": "Count", "map": "map"}
    assert back.get(d.Model, "m").trainer.params == {"kind": "Count", "map": 1, "ref": "Stream/flights"}
    assert back.get(d.Window, "w").aggregates == {"kind": d.Count(), "ref": d.Count("ref")}


def test_contract_of_other_bytes_is_another_stream_and_all_that_uses_it_follows() -> None:
    one, other = (PROJECT.with_contracts({"contracts/flights.odcs.yaml": digest * 32}) for digest in ("ab", "cd"))
    assert one.contracts == {"contracts/flights.odcs.yaml": "ab" * 32}
    changed = {
        old.address for old, new in zip(one.definitions, other.definitions, strict=True) if old.version != new.version
    }
    assert changed == {
        "FeatureService/risk",
        "FeatureView/carrier_delay",
        "Model/delay",
        "Stream/flights",
        "Window/hourly",
    }
    assert one.version != other.version != PROJECT.version


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: d.Variance("x", ddof=1), lambda: d.Variance("x", ddof=1.0)),  # type: ignore[arg-type]
        (lambda: d.Variance("x", ddof=0), lambda: d.Variance("x", ddof=np.int8(0))),  # type: ignore[arg-type]
        (lambda: d.Quantile("x", q=1), lambda: d.Quantile("x", q=1.0)),
        (lambda: d.Quantile("x", q=0.0), lambda: d.Quantile("x", q=-0.0)),
        (lambda: d.Histogram("x", edges=[0, 1]), lambda: d.Histogram("x", edges=np.array([-0.0, 1.0]))),
        (lambda: d.Entity("e", keys="a"), lambda: d.Entity("e", keys=["a"])),
        (lambda: d.LightGBM(rounds=100), lambda: d.LightGBM(rounds=1e2)),  # type: ignore[arg-type]
        (lambda: stream(contract="a/b.yaml"), lambda: stream(contract="./a//b.yaml")),
        (lambda: d.Entity("e", keys="a"), lambda: d.Entity("e", keys=(key for key in "a"))),  # type: ignore[arg-type]
    ],
)
def test_values_that_mean_the_same_hash_alike(
    one: Callable[[], d.Definition], other: Callable[[], d.Definition]
) -> None:
    assert one() == other()
    assert one().canonical_json() == other().canonical_json()
    assert one().version == other().version


def test_parameters_of_a_trainer_keep_their_types() -> None:
    versions = {d.LightGBM(params={"x": value}).version for value in (1, 1.0, True, "1")}
    assert len(versions) == 4


def test_nothing_given_to_a_definition_can_change_it_later() -> None:
    schema = {"id": "string", "ts": "timestamp", "carrier": "string", "dep_delay": "float64"}
    key = ["id"]
    aggregates: dict[str, d.Aggregate] = {"n": d.Count()}
    source = stream(schema=schema, key=key)
    hourly = d.Window("w", source=source, aggregates=aggregates)
    before = (source.version, hourly.version)
    schema["new"] = "string"
    key.append("carrier")
    aggregates["m"] = d.Count()
    assert (source.version, hourly.version) == before
    assert (list(source.schema), source.key) == (["id", "ts", "carrier", "dep_delay"], ("id",))
    with pytest.raises(TypeError, match="does not support item assignment"):
        source.schema["new"] = "string"  # type: ignore[index]


def test_versions_are_the_same_in_every_process() -> None:
    script = "from tests.kernel.test_definitions import PROJECT; print(PROJECT.version, hash(PROJECT.name))"
    found = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert [version for version, _ in found] == [PROJECT.version] * 2
    assert found[0][1] != found[1][1]


@pytest.mark.parametrize("part", [PROJECT, *PARTS, *(part for part, _, _ in GOLDEN)], ids=lambda part: part.kind)
def test_definitions_travel_between_processes(part: d.Definition) -> None:
    for back in (pickle.loads(pickle.dumps(part)), copy.deepcopy(part)):
        assert (back, back.version) == (part, part.version)


def test_field_that_holds_its_default_does_not_count() -> None:
    assert stream(lateness="0s", idle_timeout="30s") == stream()
    assert d.Quantile("x", q=0.5) == d.Quantile("x")


def test_version_follows_what_is_used_and_equality_does_not() -> None:
    other = d.FeatureView(
        "carrier_delay", entity=CARRIER, source=stream(lateness="3h"), features=VIEW.features, ttl="7d"
    )
    assert other == VIEW
    assert other.version != VIEW.version
    assert d.FeatureService("risk", views=[other]).version != SERVICE.version


def test_two_definitions_of_one_address_must_be_equal() -> None:
    with pytest.raises(
        DefinitionError, match=r"Stream/flights is defined twice, differently: lateness is '2h' and '9h'"
    ):
        d.Project("p", [HOURLY, replace(FLIGHTS, lateness="9h")])
    assert len(d.Project("p", [FLIGHTS, FLIGHTS]).definitions) == 1


def test_unknown_name_is_not_found_with_the_nearest_spelling() -> None:
    assert PROJECT.get(d.Stream, "flights") is not None
    with pytest.raises(NotFoundError, match=r"no Stream is named 'fligths'.*Did you mean 'flights'"):
        PROJECT.get(d.Stream, "fligths")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(format=3), "format 3 is not one of 1 to 2.*Upgrade"),
        (lambda data: data.pop("format"), "format None"),
        (lambda data: data["definitions"].pop("Stream/flights"), "Stream/flights is referred to but not defined"),
        (lambda data: data["definitions"]["Stream/flights"].update(kind="Steam"), "'Steam' is not a kind.*'Stream'"),
        (
            lambda data: data["definitions"]["Stream/flights"].update(latenes="1h"),
            "'latenes' is not a field.*'lateness'",
        ),
        (
            lambda data: data["definitions"]["Stream/flights"].update(source={"ref": "Stream/flights"}),
            "Stream/flights refers to itself",
        ),
        (
            lambda data: data["definitions"]["Stream/flights"].update(name="other"),
            "Stream/flights holds another definition",
        ),
        (
            lambda data: data["definitions"]["Stream/flights"].update(schema={"id": "string"}),
            "is no definition, reference or mapping",
        ),
        (
            lambda data: data["definitions"]["Stream/flights"].update(schema={"map": [["id", "string"]] * 2}),
            "is no definition, reference or mapping",
        ),
    ],
)
def test_stored_form_that_cannot_be_read_says_why(change: Callable[[dict], object], message: str) -> None:
    data = json.loads(canonical_json(PROJECT.to_dict()))
    change(data)
    with pytest.raises(DefinitionError, match=message):
        d.Project.from_dict(data)


def test_definitions_are_frozen() -> None:
    with pytest.raises(AttributeError):
        FLIGHTS.lateness = "9h"  # type: ignore[misc]


def test_arrow_schema_of_plain_names() -> None:
    schema = d.arrow_schema({"at": "timestamp", "n": "int32", "s": "string"})
    assert str(schema) == "at: timestamp[us, tz=UTC]\nn: int32\ns: string"
