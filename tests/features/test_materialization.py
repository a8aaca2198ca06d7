"""From a table to offline runs and online rows: increments, late rows, rebuilds, crashes, and training sets of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mercury import BatchTable, Entity, FeatureService, FeatureView
from mercury.errors import NotFoundError, SchemaError, TableNotFoundError, UsageError
from mercury.features import FeatureStore, JoinOptions, ViewRows, join, materialization, provenance_of, training_set
from mercury.features.instants import UTC_MICROSECONDS
from mercury.features.layout import CREATED_TIME, EVENT_TIME, FeatureRuns
from mercury.features.materialization import materialize, publish
from mercury.features.training import view_rows
from mercury.tables import Table

SCHEMA = {"k": "string", "x": "float64", "ts": "timestamp", "known": "timestamp"}
SOURCE = BatchTable("rows", schema=SCHEMA, event_time="ts", created_time="known")
VIEW = FeatureView("v", Entity("e", "k"), SOURCE, {"x": "x", "twice": "x * 2"}, ttl="50us")
SERVICE = FeatureService("s", [VIEW])

Row = tuple[str | None, float | None, int | None, int | None]


def rows(items: list[Row]) -> pa.Table:
    return pa.table(
        {
            "k": pa.array([item[0] for item in items], pa.string()),
            "x": pa.array([item[1] for item in items], pa.float64()),
            "ts": pa.array([item[2] for item in items], UTC_MICROSECONDS),
            "known": pa.array([item[3] for item in items], UTC_MICROSECONDS),
        }
    )


def source(store: FeatureStore, items: list[Row], **options: Any) -> Table:
    data = rows(items)
    table = Table.create(store.lake.table("rows"), data.schema, exist_ok=True, **options)
    table.append(data)
    return table


def served(store: FeatureStore, key: str, now: int) -> dict[str, Any]:
    return store.reader().lookup(SERVICE, [{"k": key}], now).row(0)


def test_features_are_evaluated_and_rows_without_key_or_time_are_counted(store: FeatureStore) -> None:
    source(store, [("a", 1.0, 10, 11), (None, 2.0, 10, 11), ("b", 3.0, None, None), ("c", None, 12, None)])
    done = materialize(store, VIEW)
    assert (done.offline, done.online, done.dropped, done.rebuilt) == (2, 2, 2, True)
    assert done.source["table_version"] == 1
    assert served(store, "a", 20) == {"x": 1.0, "twice": 2.0}
    found = store.runs("v").read()
    created = dict(zip(found["k"].to_pylist(), found[CREATED_TIME].cast(pa.int64()).to_pylist(), strict=True))
    assert created == {"a": 11, "c": 12}


def test_an_increment_brings_only_new_rows_and_catches_late_ones(store: FeatureStore) -> None:
    source(store, [("a", 1.0, 10, 10), ("b", 1.0, 40, 40)])
    materialize(store, VIEW)
    assert materialize(store, VIEW).offline == 0
    source(store, [("a", 2.0, 30, 45), ("b", 0.5, 20, 45), ("c", 9.0, 1, 45)])
    done = materialize(store, VIEW)
    # All three are older than what was materialized before; "b" does not replace the newer row online.
    assert (done.offline, done.online, done.rebuilt) == (3, 2, False)
    assert [served(store, key, 46)["x"] for key in "abc"] == [2.0, 1.0, 9.0]
    assert store.runs("v").manifest().rows == 5


def test_online_is_what_the_join_answers_at_that_moment(store: FeatureStore) -> None:
    seed = 11
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    items: list[Row] = []
    for _ in range(300):
        event = int(random.integers(0, 200))
        items.append((f"k{random.integers(0, 9)}", float(random.normal()), event, event + int(random.integers(0, 60))))
    for part in range(3):
        source(store, items[part::3])
        for until in (60 + 40 * part, 80 + 40 * part, 100 + 40 * part):
            materialize(store, VIEW, until=until)
            keys = [f"k{number}" for number in range(10)]
            labels = pa.table({"k": keys, "at": pa.array([until] * 10, UTC_MICROSECONDS)})
            want = training_set(store, SERVICE, labels, event_time="at").select(["x", "twice"]).to_pylist()
            found = store.reader().lookup(SERVICE, [{"k": key} for key in keys], until)
            assert [found.row(row) for row in range(10)] == want


def test_updated_and_deleted_rows_lead_to_a_rebuild(store: FeatureStore) -> None:
    source(store, [("a", 1.0, 10, 10), ("b", 1.0, 10, 10)])
    materialize(store, VIEW)
    Table.open(store.lake.table("rows")).overwrite(rows([("a", 5.0, 10, 10)]))
    done = materialize(store, VIEW)
    assert (done.offline, done.rebuilt) == (1, True)
    assert store.runs("v").manifest().rows == 1
    assert served(store, "a", 10)["x"] == 5.0


def test_a_changed_definition_leads_to_a_rebuild(store: FeatureStore) -> None:
    source(store, [("a", 1.0, 10, 10)])
    materialize(store, VIEW)
    changed = replace(VIEW, features={"x": "x", "twice": "x * 2", "half": "x / 2"})
    with pytest.raises(UsageError, match=r"not materialized: half.*backfill"):
        training_set(store, [changed], pa.table({"k": ["a"], "at": pa.array([10], UTC_MICROSECONDS)}), event_time="at")
    assert materialize(store, changed).rebuilt
    assert store.reader().lookup([changed], [{"k": "a"}], 10).row(0) == {"x": 1.0, "twice": 2.0, "half": 0.5}


@pytest.mark.parametrize("crash_at", [0, 1, 2, 3])
def test_an_interrupted_backfill_goes_on_and_readers_see_the_old_rows(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    source(store, [("old", 1.0, 1, 1)])
    materialize(store, VIEW)
    source(store, [(f"k{number}", 1.0, number, number) for number in range(40)])
    original = FeatureRuns.append
    calls: list[int] = []

    def crashing(self: FeatureRuns, *arguments: Any, **options: Any) -> Any:
        if len(calls) == crash_at:
            raise KeyboardInterrupt
        calls.append(arguments[0].num_rows)
        return original(self, *arguments, **options)

    monkeypatch.setattr(FeatureRuns, "append", crashing)
    with pytest.raises(KeyboardInterrupt):
        materialize(store, VIEW, rebuild=True, chunk_rows=10)
    assert store.runs("v").read()["k"].to_pylist() == ["old"]
    monkeypatch.setattr(FeatureRuns, "append", original)
    done = materialize(store, VIEW, rebuild=True, chunk_rows=10)
    assert done.offline == 41 - sum(calls)  # chunks that were done are not done again
    assert store.runs("v").manifest().rows == 41
    assert sorted(store.runs("v").read()["k"].to_pylist()) == sorted(["old", *(f"k{number}" for number in range(40))])


def test_a_crash_between_offline_and_online_is_made_up_for(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    source(store, [("a", 1.0, 10, 10)])
    with monkeypatch.context() as patch:
        patch.setattr(materialization, "publish", lambda *arguments, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            materialize(store, VIEW)
    assert served(store, "a", 10)["x"] is None
    assert materialize(store, VIEW).online == 1
    assert served(store, "a", 10)["x"] == 1.0
    assert publish(store, VIEW) == 0


def test_chunks_bound_what_is_read_at_once(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    source(store, [(f"k{number}", 1.0, number, number) for number in range(95)])
    sizes = []
    original = materialization.rows_of_table

    def watched(view: FeatureView, part: pa.Table) -> Any:
        sizes.append(part.num_rows)
        return original(view, part)

    monkeypatch.setattr(materialization, "rows_of_table", watched)
    materialize(store, VIEW, chunk_rows=20)
    assert max(sizes) == 20 and sum(sizes) == 95


def test_a_partitioned_table_is_read_with_its_partition_column(store: FeatureStore) -> None:
    source(store, [("a", 1.0, 10, 10), ("b", 2.0, 10, 10)], partition_by=["k"])
    assert materialize(store, VIEW).offline == 2
    assert [served(store, key, 10)["x"] for key in "ab"] == [1.0, 2.0]


def test_a_missing_table_is_named(store: FeatureStore) -> None:
    with pytest.raises(TableNotFoundError):
        materialize(store, VIEW)


# Training sets of what was materialized


@pytest.fixture
def filled(store: FeatureStore) -> FeatureStore:
    random = np.random.default_rng(5)
    items: list[Row] = []
    for _ in range(2_000):
        event = int(random.integers(0, 1_000))
        items.append((f"k{random.integers(0, 60)}", float(random.normal()), event, event + int(random.integers(0, 90))))
    source(store, items[:1_200])
    materialize(store, VIEW)
    source(store, items[1_200:])
    materialize(store, VIEW)
    return store


def labels(count: int = 700, seed: int = 6) -> pa.Table:
    random = np.random.default_rng(seed)
    keys: list[str | None] = [f"k{number}" for number in random.integers(0, 70, count)]
    keys[3] = None
    times = random.integers(0, 1_200, count).tolist()
    return pa.table({"k": keys, "at": pa.array(times, UTC_MICROSECONDS), "y": random.integers(0, 2, count)})


def test_bucketed_equals_one_join_over_all_rows(filled: FeatureStore) -> None:
    asked = labels()
    options = JoinOptions(timestamps=True)
    got = training_set(filled, SERVICE, asked, event_time="at", options=options)
    want = join(asked, [view_rows(VIEW, filled.runs("v").read())], event_time="at", options=options)
    assert got.replace_schema_metadata(None).equals(want)
    assert got.select(asked.column_names).replace_schema_metadata(None).equals(asked)
    assert 0 < got["x"].null_count < 700


def test_materialized_equals_a_join_with_the_table_itself(filled: FeatureStore) -> None:
    table = Table.open(filled.lake.table("rows")).read()
    view = ViewRows("v", table, ["k"], ["x"], event_time="ts", created_time="known", ttl=50)
    want = join(labels(), [view], event_time="at")
    assert training_set(filled, SERVICE, labels(), event_time="at")["x"].equals(want["x"])


@pytest.mark.ray
def test_ray_equals_local_to_the_byte(filled: FeatureStore, ray_local: object) -> None:
    options = JoinOptions(timestamps=True)
    local = training_set(filled, SERVICE, labels(), event_time="at", options=options, engine="process")
    remote = training_set(filled, SERVICE, labels(), event_time="at", options=options, engine="ray")
    assert remote.equals(local, check_metadata=True)


def test_an_empty_label_table_gives_an_empty_training_set(filled: FeatureStore) -> None:
    got = training_set(filled, SERVICE, labels().slice(0, 0), event_time="at")
    assert (got.num_rows, got.column_names) == (0, ["k", "at", "y", "x", "twice"])


def test_provenance_names_versions_and_sources(filled: FeatureStore) -> None:
    told = provenance_of(training_set(filled, SERVICE, labels(), event_time="at"))
    assert told["service"] == "s" and told["service_version"] == SERVICE.version
    assert told["views"]["v"]["version"] == VIEW.version
    assert told["views"]["v"]["sources"]["table_version"] == 2
    assert told["views"]["v"]["rows"] == 2_000
    assert told["options"]["known_time"] is True


def test_what_is_wrong_with_labels_is_named(filled: FeatureStore) -> None:
    with pytest.raises(SchemaError, match="no column 'when'"):
        training_set(filled, SERVICE, labels(), event_time="when")
    with pytest.raises(SchemaError, match=r"no column 'k', a key of view 'v'"):
        training_set(filled, SERVICE, labels().drop_columns(["k"]), event_time="at")
    with pytest.raises(SchemaError, match="feature 'x' of view 'v' has the name of another column"):
        training_set(filled, SERVICE, labels().rename_columns(["k", "at", "x"]), event_time="at")
    with pytest.raises(NotFoundError, match="materialize"):
        training_set(filled, [replace(VIEW, name="w")], labels(), event_time="at")


def test_the_views_delay_holds_in_training(store: FeatureStore) -> None:
    source(store, [("a", 1.0, 10, 10)])
    view = replace(VIEW, embargo="5us")
    materialize(store, view)
    asked = pa.table({"k": ["a", "a"], "at": pa.array([14, 15], UTC_MICROSECONDS)})
    for options in (JoinOptions(), JoinOptions(known_time=False)):
        assert training_set(store, [view], asked, event_time="at", options=options)["x"].to_pylist() == [None, 1.0]
    found = store.runs("v").read()
    assert found[EVENT_TIME].cast(pa.int64()).to_pylist() == [10]
    assert store.reader().lookup([view], [{"k": "a"}], 14).row(0)["x"] is None
    assert store.reader().lookup([view], [{"k": "a"}], 15).row(0)["x"] == 1.0
