"""Any definition: what is written reads back, and a version stands for every field, its type and its order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury import definitions as d
from mercury.definitions.base import canonical_json, decode
from mercury.definitions.streams import RESERVED_COLUMNS, WINDOW_COLUMNS
from mercury.definitions.values import FrozenMapping, Misfit, conform
from tests.kernel.test_definitions import CARRIER, FLIGHTS, HOURLY, JOB, MODEL, SERVICE, TABLE, VIEW, stream

WORDS = ["ref", "kind", "map", "name", "Count", "Stream", "a", "b"]
outputs = st.sampled_from(WORDS) | st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,6}", fullmatch=True)
texts = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
sql = texts.filter(lambda text: text.strip())
numbers = st.floats(-1e9, 1e9)
lengths = st.integers(1, 10**9).map(lambda count: f"{count}us") | st.sampled_from(["5m", "1h", "7d"])
params = st.dictionaries(texts, texts | st.integers() | st.booleans() | numbers, max_size=4)


def aggregates(over: st.SearchStrategy[str | None]) -> st.SearchStrategy[d.Aggregate]:
    where = st.none() | sql
    plain = [d.Sum, d.Mean, d.Min, d.Max, d.First, d.Last]
    return st.one_of(
        st.builds(d.Count, st.none() | sql, where=where, over=over),
        *(st.builds(kind, sql, where=where, over=over) for kind in plain),
        st.builds(d.Variance, sql, ddof=st.integers(0, 1), where=where, over=over),
        st.builds(d.StdDev, sql, ddof=st.integers(0, 1), where=where, over=over),
        st.builds(d.CountDistinct, sql, exact=st.booleans(), precision=st.integers(4, 18), where=where, over=over),
        st.builds(d.Quantile, sql, q=st.floats(0, 1), accuracy=st.floats(1e-4, 0.2), where=where, over=over),
        st.builds(d.TopK, sql, k=st.integers(1, 10_000), where=where, over=over),
        st.builds(d.Histogram, sql, edges=st.lists(numbers, min_size=1, unique=True).map(sorted), where=where),
    )


def schemas() -> st.SearchStrategy[dict[str, str]]:
    columns = st.dictionaries(
        texts.filter(lambda name: name not in RESERVED_COLUMNS and name.casefold() != "ts"),
        st.sampled_from(d.TYPES),
        min_size=1,
        max_size=5,
    ).filter(lambda schema: len({name.casefold() for name in schema}) == len(schema))
    return st.tuples(columns, st.integers(0, 5)).map(lambda drawn: _with_time(*drawn))


def _with_time(columns: dict[str, str], place: int) -> dict[str, str]:
    items = list(columns.items())
    return dict([*items[:place], ("ts", "timestamp"), *items[place:]])


@st.composite
def streams(draw: st.DrawFn, name: str) -> d.Stream:
    schema = draw(schemas())
    contract = draw(st.none() | st.just("contracts/c.yaml"))
    return d.Stream(
        name,
        source=d.Kafka(draw(st.from_regex(r"[a-z]{1,8}", fullmatch=True)), draw(st.none() | texts)),
        schema=schema,
        event_time="ts",
        key=draw(st.lists(st.sampled_from(sorted(schema)), unique=True, max_size=3)),
        lateness=draw(lengths),
        contract=contract,
        dedup=draw(st.none() | lengths),
        heartbeat=draw(st.none() | sql),
        contract_sha256=draw(st.none() | st.just("ab" * 32)) if contract else None,
    )


@st.composite
def projects(draw: st.DrawFn) -> d.Project:
    source = draw(streams("s"))
    keys = draw(st.lists(st.sampled_from(sorted(set(source.schema) - {"ts"})), unique=True, min_size=1, max_size=2))
    entity = d.Entity("e", keys=keys)
    free = outputs.filter(lambda name: name not in {*source.schema, *WINDOW_COLUMNS, "label"})
    window = d.Window(
        "w",
        source=source,
        keys=keys,
        size="1h",
        slide=draw(st.none() | st.sampled_from(["1h", "20m", "7m"])),
        aggregates=draw(st.dictionaries(free, aggregates(st.none()), min_size=1, max_size=3)),
        where=draw(st.none() | sql),
    )
    names = draw(st.lists(free, unique=True, min_size=2, max_size=5))
    overs = aggregates(st.sampled_from(["1d", "3h"])).filter(lambda part: part.over is not None)
    live = d.FeatureView("live", entity, source, {names[0]: draw(overs)}, ttl=draw(st.none() | lengths))
    table = d.BatchTable("t", schema=source.schema, event_time="ts", created_time=draw(st.none() | st.just("ts")))
    still = d.FeatureView("still", entity, table, {name: draw(sql) for name in names[1:]})
    service = d.FeatureService("sv", draw(st.permutations([live, still])))
    model = d.Model(
        "m", service=service, labels=source, label=draw(sql), event_time="ts", trainer=d.LightGBM(draw(params), 5)
    )
    return d.Project("p", [window, model])


def plain(value: object) -> Any:
    """A definition as nested lists of its fields, with types and orders, by another way than its JSON."""
    if isinstance(value, d.Definition):
        return [value.kind, [[field.name, plain(getattr(value, field.name))] for field in fields(value)]]
    if isinstance(value, Mapping):
        return ["mapping", [[key, plain(item)] for key, item in value.items()]]
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return [type(value).__name__, repr(value)]


@settings(max_examples=150, deadline=None)
@given(projects())
def test_project_reads_back_as_it_was_written(project: d.Project) -> None:
    back = d.Project.from_dict(json.loads(canonical_json(project.to_dict())))
    assert back == project
    assert back.version == project.version
    assert plain(back) == plain(project)
    assert [part.version for part in back.definitions] == [part.version for part in project.definitions]


@settings(max_examples=150, deadline=None)
@given(aggregates(st.none() | lengths))
def test_aggregate_reads_back_as_it_was_written(part: d.Aggregate) -> None:
    back = decode(json.loads(part.canonical_json()), lambda address: pytest.fail(address))
    assert (back, back.version, plain(back)) == (part, part.version, plain(part))


few = st.sampled_from(["x", "y"])
similar = st.one_of(
    st.builds(d.Count, few | st.none(), where=few | st.none()),
    st.builds(d.Sum, few, where=few | st.none()),
    st.builds(d.Variance, few, ddof=st.sampled_from([0, 1, 1.0])),
    st.builds(d.StdDev, few, ddof=st.sampled_from([0, 1])),
    st.builds(d.Histogram, few, edges=st.sampled_from([[0, 1], [0.0, 1], [0, 1, 2], (0, 1)])),
    st.builds(d.LightGBM, st.dictionaries(few, st.sampled_from([1, 1.0, True, "1"])), st.sampled_from([1, 2.0])),
    st.builds(d.Entity, few, st.sampled_from(["x", ["x"], ["x", "y"], ["y", "x"]])),
    st.lists(st.tuples(few, st.sampled_from(["int64", "timestamp"])), min_size=1).map(
        lambda pairs: stream(schema={"ts": "timestamp", **dict(pairs)}, key=())
    ),
)


@settings(max_examples=400, deadline=None)
@given(similar, similar)
def test_versions_are_equal_exactly_when_all_fields_are(one: d.Definition, other: d.Definition) -> None:
    assert (one.version == other.version) == (plain(one) == plain(other))
    assert (one == other) == (one.version == other.version)


OTHER_STREAM = stream(lateness="9h")
OTHER_TABLE = d.BatchTable("t", schema={"id": "string", "ts": "timestamp", "carrier": "string"}, event_time="ts")
POLICY = d.PrivacyPolicy("people", source=FLIGHTS, unit="id")
METRICS = d.SemanticModel(
    "board",
    source=FLIGHTS,
    dimensions={"carrier": "carrier"},
    metrics={"flights": d.Count(), "late": d.Count(where="dep_delay > 15")},
)
CHANGES: dict[str, tuple[d.Definition, dict[str, object]]] = {
    "Kafka": (d.Kafka("t"), {"topic": "u", "bootstrap_servers": "b:1"}),
    "Stream": (
        FLIGHTS,
        {
            "name": "x",
            "source": d.Kafka("other"),
            "schema": {**FLIGHTS.schema, "more": "int64"},
            "event_time": None,
            "key": ["id", "carrier"],
            "lateness": "1s",
            "contract": "other.yaml",
            "idle_timeout": "1s",
            "future_limit": "1s",
            "dedup": "1s",
            "heartbeat": "dep_delay > 0",
            "contract_sha256": "ab" * 32,
        },
    ),
    "Window": (
        HOURLY,
        {
            "name": "x",
            "source": OTHER_STREAM,
            "keys": ["id"],
            "size": "2h",
            "slide": "30m",
            "aggregates": {"late": d.Count()},
            "where": "dep_delay > 0",
        },
    ),
    "Entity": (CARRIER, {"name": "x", "keys": ["carrier", "id"]}),
    "BatchTable": (
        d.BatchTable("t", schema={"a": "timestamp", "b": "timestamp"}, event_time="a"),
        {
            "name": "x",
            "schema": {"b": "timestamp", "a": "timestamp"},
            "event_time": "b",
            "created_time": "b",
            "job": "j",
        },
    ),
    "FeatureView": (
        VIEW,
        {
            "name": "x",
            "entity": d.Entity("carrier", keys=["carrier", "id"]),
            "source": OTHER_STREAM,
            "features": {"n": d.Count(over="1d")},
            "ttl": None,
            "embargo": "1s",
            "hop": "30m",
            "where": "dep_delay > 0",
        },
    ),
    "FeatureService": (SERVICE, {"name": "x", "views": [replace(VIEW, name="y")]}),
    "LightGBM": (d.LightGBM(), {"params": {"eta": 1}, "rounds": 9}),
    "Model": (
        MODEL,
        {
            "name": "x",
            "service": d.FeatureService("other", [VIEW]),
            "labels": OTHER_TABLE,
            "label": "dep_delay > 16",
            "event_time": None,
            "where": "dep_delay > 0",
            "trainer": d.LightGBM(rounds=9),
        },
    ),
    "Job": (JOB, {"name": "x", "script": "y.py", "inputs": ["raw", "more"], "output": "z", "engine": "ray"}),
    "Project": (d.Project("p", [HOURLY]), {"name": "x", "definitions": [TABLE, JOB]}),
    "Budget": (d.Budget(), {"epsilon": 2.0, "delta": 1e-7}),
    "Bounds": (d.Bounds(0, 60), {"low": -1.0, "high": 61.0, "step": 0.5}),
    "PrivacyPolicy": (
        POLICY,
        {
            "name": "x",
            "source": OTHER_STREAM,
            "unit": "carrier",
            "budget": d.Budget(2.0),
            "analyst_budget": d.Budget(0.5),
            "epsilon": 0.2,
            "least_epsilon": 0.01,
            "max_groups": 2,
            "max_rows": 2,
            "bounds": {"dep_delay": d.Bounds(0, 61)},
            "public_keys": {"carrier": ["AA"]},
        },
    ),
    "Ratio": (d.Ratio("late", "flights"), {"numerator": "more", "denominator": "other"}),
    "Derived": (d.Derived("flights - late"), {"expression": "flights + late"}),
    "Rollup": (d.Rollup(), {"grain": "hour", "by": ["carrier"], "metrics": ["late"], "keys": ["carrier"]}),
    "SemanticModel": (
        METRICS,
        {
            "name": "x",
            "source": OTHER_STREAM,
            "time": "ts",
            "timezone": "America/New_York",
            "dimensions": {"carrier": "upper(carrier)"},
            "metrics": {"flights": d.Count(), "late": d.Count("id")},
            "rollups": {"daily": d.Rollup()},
            "where": "dep_delay > 0",
            "privacy": POLICY,
        },
    ),
    "Monitor": (
        d.Monitor("m", MODEL),
        {
            "name": "x",
            "model": replace(MODEL, name="y"),
            "window": "12h",
            "timezone": "America/New_York",
            "watch": {"raw_delay": "dep_delay"},
            "watch_where": "dep_delay > 0",
            "label_horizon": "1d",
            "average_run_length": "30d",
            "atom_share": 0.02,
        },
    ),
}
"""One other value for each field; None where there is none that leaves the rest valid."""
AGGREGATE = {"of": "y", "where": "z", "over": "9d"}
for part, own in (
    (d.Count("x"), {}),
    (d.Sum("x"), {}),
    (d.Mean("x"), {}),
    (d.Min("x"), {}),
    (d.Max("x"), {}),
    (d.First("x"), {}),
    (d.Last("x"), {}),
    (d.Variance("x"), {"ddof": 0}),
    (d.StdDev("x"), {"ddof": 0}),
    (d.CountDistinct("x"), {"exact": True, "precision": 13}),
    (d.Quantile("x"), {"q": 0.9, "accuracy": 0.02}),
    (d.TopK("x"), {"k": 11}),
    (d.Histogram("x", edges=[0]), {"edges": [0, 1]}),
):
    CHANGES[part.kind] = (part, {**AGGREGATE, **own})


def test_every_field_of_every_definition_is_changed_below() -> None:
    kinds = {
        value.__name__ for value in vars(d).values() if isinstance(value, type) and issubclass(value, d.Definition)
    }
    assert set(CHANGES) == kinds - {"Definition", "Named", "Aggregate"}
    for part, changes in CHANGES.values():
        # There is one format of events, so that it cannot be another.
        assert set(changes) == {field.name for field in fields(part)} - ({"format"} if part.kind == "Kafka" else set())


@pytest.mark.parametrize(("part", "changes"), CHANGES.values(), ids=CHANGES)
def test_version_differs_when_any_field_differs(part: d.Definition, changes: dict[str, object]) -> None:
    changed = [replace(part, **{name: value}) for name, value in changes.items() if not _impossible(part, name, value)]
    versions = {other.version for other in (part, *changed)}
    assert len(versions) == len(changed) + 1


def _impossible(part: d.Definition, name: str, value: object) -> bool:
    return name == "event_time" and value is None


def test_event_time_counts_as_well() -> None:
    columns = {**FLIGHTS.schema, "sched": "timestamp"}
    one, other = stream(schema=columns), stream(schema=columns, event_time="sched")
    assert one.version != other.version
    models = [replace(MODEL, labels=one, event_time=column) for column in ("ts", "sched")]
    assert models[0].version != models[1].version


def test_definition_is_not_the_one_of_another_kind_with_equal_fields() -> None:
    assert len({kind("x").version for kind in (d.Sum, d.Mean, d.Min, d.Max, d.First, d.Last, d.Count)}) == 7


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=5))
def test_frozen_mapping_is_the_mapping_it_was_made_of(items: dict[str, int]) -> None:
    frozen = FrozenMapping(items)
    assert frozen == items
    assert list(frozen.items()) == list(items.items())
    assert {**frozen} == items
    assert FrozenMapping(frozen.items()) == frozen


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(anything, st.sampled_from([str, int, float, bool]))
def test_any_value_is_taken_in_its_one_form_or_is_a_misfit(value: object, hint: type) -> None:
    for annotation in (hint, hint | None, Mapping[str, hint], Mapping[str, hint | str]):
        try:
            held = conform(value, annotation)
        except Misfit:
            continue
        assert conform(held, annotation) == held
        assert plain(conform(held, annotation)) == plain(held)
        canonical_json(held if not isinstance(held, Mapping) else list(held.items()))
