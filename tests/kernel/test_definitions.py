"""Definitions: canonical bytes that never change, hashes that follow references, and errors that name the place."""

from __future__ import annotations

import json
from collections.abc import Callable

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
PROJECT = d.Project("flights", [HOURLY, MODEL, TABLE, JOB], {"contracts/flights.odcs.yaml": "ab" * 32})

GOLDEN = [
    (
        FLIGHTS,
        '{"contract":"contracts/flights.odcs.yaml","event_time":"ts","key":["id"],"kind":"Stream","lateness":"2h",'
        '"name":"flights","schema":{"carrier":"string","dep_delay":"float64","id":"string","ts":"timestamp"},'
        '"source":{"kind":"Kafka","topic":"flights"}}',
        "a0a26ebaab78a54b",
    ),
    (CARRIER, '{"keys":["carrier"],"kind":"Entity","name":"carrier"}', "245ee3fcde70095d"),
    (
        VIEW,
        '{"entity":{"ref":"Entity/carrier"},"features":{"flights_1d":{"kind":"Count","over":"1d"},"p90_7d":{"kind":'
        '"Quantile","of":"dep_delay","over":"7d","q":0.9}},"kind":"FeatureView","name":"carrier_delay",'
        '"source":{"ref":"Stream/flights"},"ttl":"7d"}',
        "b92a9b51db98ca14",
    ),
    (
        HOURLY,
        '{"aggregates":{"late":{"kind":"Mean","of":"dep_delay > 15"}},"keys":["carrier"],"kind":"Window",'
        '"name":"hourly","source":{"ref":"Stream/flights"}}',
        "cc3d9ef8318d6614",
    ),
    (
        SERVICE,
        '{"kind":"FeatureService","name":"risk","views":[{"ref":"FeatureView/carrier_delay"}]}',
        "c382e1d1c9754787",
    ),
    (
        MODEL,
        '{"event_time":"ts","kind":"Model","label":"dep_delay > 15","labels":{"ref":"Stream/flights"},"name":"delay",'
        '"service":{"ref":"FeatureService/risk"}}',
        "21a9867faa018ff3",
    ),
    (
        TABLE,
        '{"event_time":"at","job":"weather","kind":"BatchTable","name":"weather",'
        '"schema":{"at":"timestamp","origin":"string"}}',
        "1b0a9a16ae42003c",
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
    expected = {"format": 1, "project": "flights", "definitions": inner, "contracts": dict(PROJECT.contracts)}
    assert json.loads(canonical_json(PROJECT.to_dict())) == expected
    assert PROJECT.version == "f15cb0f3869304bd"


def test_project_reads_back_from_its_stored_form() -> None:
    back = d.Project.from_dict(json.loads(canonical_json(PROJECT.to_dict())))
    assert back == PROJECT
    assert back.version == PROJECT.version
    assert [part.version for part in back.definitions] == [part.version for part in PROJECT.definitions]


def test_what_a_definition_uses_is_part_of_the_project() -> None:
    assert d.Project("p", [MODEL]).definitions == tuple(
        sorted([MODEL, SERVICE, VIEW, CARRIER, FLIGHTS], key=lambda part: part.address)
    )


def test_order_of_writing_does_not_change_the_version() -> None:
    assert d.Project("p", [TABLE, JOB]).version == d.Project("p", [JOB, TABLE]).version
    fields = {"event_time": "ts", "schema": {"ts": "timestamp", "id": "string"}, "key": "id"}
    turned = {**fields, "schema": {"id": "string", "ts": "timestamp"}}
    assert stream(**fields).version == stream(**turned).version


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
    with pytest.raises(DefinitionError, match=r"Stream/flights is defined twice, differently \(Project/p\)"):
        d.Project("p", [HOURLY, stream(lateness="9h")])
    assert len(d.Project("p", [FLIGHTS, FLIGHTS]).definitions) == 1


def test_unknown_name_is_not_found_with_the_nearest_spelling() -> None:
    assert PROJECT.get(d.Stream, "flights") is not None
    with pytest.raises(NotFoundError, match=r"no Stream is named 'fligths'.*Did you mean 'flights'"):
        PROJECT.get(d.Stream, "fligths")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(format=2), "format 2 is not 1"),
        (lambda data: data["definitions"].pop("Stream/flights"), "Stream/flights is referred to but not defined"),
        (lambda data: data["definitions"]["Stream/flights"].update(kind="Steam"), "'Steam' is not a kind.*'Stream'"),
        (
            lambda data: data["definitions"]["Stream/flights"].update(latenes="1h"),
            "'latenes' is not a field.*'lateness'",
        ),
    ],
)
def test_stored_form_that_cannot_be_read_says_why(change: Callable[[dict], object], message: str) -> None:
    data = json.loads(canonical_json(PROJECT.to_dict()))
    change(data)
    with pytest.raises(DefinitionError, match=message):
        d.Project.from_dict(data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: d.Entity("a b", keys="x"), "'a b' is not a name"),
        (lambda: d.Entity("a"), r"the entity has no key \(Entity/a\)"),
        (lambda: stream(schema={"ts": "timestmap"}), "'ts' has the unknown type 'timestmap'.*Did you mean 'timestamp'"),
        (lambda: stream(event_time="id"), "event_time='id' is not a timestamp column.*Timestamp columns: ts"),
        (lambda: stream(key="nr"), "key column 'nr' is not in the schema"),
        (lambda: stream(lateness="2"), "lateness='2' is not a duration"),
        (lambda: stream(source=None), "the stream has no source"),
        (lambda: d.Kafka(), "has no topic"),
        (lambda: d.Kafka("t", format="jsno"), "format='jsno' is not known.*'json'"),
        (lambda: d.Sum(), "Sum needs the expression"),
        (lambda: d.Variance("x", ddof=2), "ddof=2"),
        (lambda: d.Quantile("x", q=90), "q=90.0 is not between"),
        (lambda: d.Histogram("x", edges=[1, 1]), "do not increase"),
        (lambda: d.TopK("x", k=0), "k=0"),
        (lambda: d.CountDistinct("x", precision=30), "precision=30"),
        (lambda: d.Window("w", source=FLIGHTS), "keeps nothing"),
        (lambda: d.Window("w", source=FLIGHTS, keys="x", aggregates={"n": d.Count()}), "key 'x' is not in Stream/fl"),
        (lambda: d.Window("w", source=FLIGHTS, aggregates={"n": d.Count(over="1d")}), "length is its size"),
        (
            lambda: d.Window("w", source=FLIGHTS, size="1m", slide="2m", aggregates={"n": d.Count()}),
            "slide=2m is longer",
        ),
        (lambda: d.FeatureView("v", entity=CARRIER, source=FLIGHTS, features={"n": d.Count()}), "has no window"),
        (lambda: d.FeatureView("v", entity=CARRIER, source=FLIGHTS), "has no features"),
        (lambda: d.FeatureView("v", entity=CARRIER, source=TABLE, features=["at"]), "key 'carrier' is not a column"),
        (lambda: d.FeatureService("s", views=[VIEW, VIEW]), "two views have a feature named"),
        (lambda: d.Model("m", service=SERVICE, labels=FLIGHTS, event_time="ts"), "label is missing"),
        (lambda: d.LightGBM(rounds=0), "rounds=0"),
        (lambda: d.Job("j", script="x", output="t", engine="sparc"), "engine='sparc' is not known.*'spark'"),
        (lambda: d.LightGBM(params={"eta": float("nan")}).version, "cannot be written as JSON"),
        (lambda: d.LightGBM(params={"eta": object()}).version, "cannot be part of a definition"),  # type: ignore[dict-item]
        (lambda: d.Project("p", ["flights"]), "'flights' is not a named definition"),  # type: ignore[list-item]
    ],
)
def test_mistake_in_a_definition_is_one_clear_error(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        make()


def test_definitions_are_frozen() -> None:
    with pytest.raises(AttributeError):
        FLIGHTS.lateness = "9h"  # type: ignore[misc]


def test_arrow_schema_of_plain_names() -> None:
    schema = d.arrow_schema({"at": "timestamp", "n": "int32", "s": "string"})
    assert str(schema) == "at: timestamp[us, tz=UTC]\nn: int32\ns: string"
