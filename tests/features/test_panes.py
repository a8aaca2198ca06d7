"""From a stream's panes to features: the sink epoch by epoch, replays and restarts, and the table of panes at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mercury import Count, Entity, FeatureView, Kafka, Last, Mean, Quantile, Stream, Sum
from mercury.errors import TableNotFoundError
from mercury.features import FeatureSink, FeatureStore, materialize, training_set
from mercury.features.instants import UTC_MICROSECONDS
from mercury.features.layout import CREATED_TIME, EPOCH, EVENT_TIME
from mercury.features.windows import PANE, feature_rows, pane_spec
from mercury.summaries import Summary, partial
from mercury.tables import Table, Transaction
from mercury.time import DAY, HOUR

STREAM = Stream(
    "events",
    source=Kafka("events"),
    schema={"ts": "timestamp", "k": "string", "x": "float64", "n": "int64"},
    event_time="ts",
    lateness="2h",
)
VIEW = FeatureView(
    "v",
    Entity("e", "k"),
    STREAM,
    {
        "count": Count(over="6h"),
        "sum": Sum("n", over="1d"),
        "mean": Mean("x", over="6h"),
        "last": Last("n", over="6h"),
        "p90": Quantile("x", 0.9, over="1d"),
    },
    ttl="2d",
    hop="1h",
)
START = 16_000 * DAY
END = (1 << 63) - 1


@dataclass(frozen=True)
class Output:
    epoch: int
    watermark: int
    panes: Mapping[str, Summary] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def events(count: int = 1_500) -> pa.Table:
    seed = 13
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "ts": pa.array(START + np.sort(random.integers(0, 5 * DAY, count)), UTC_MICROSECONDS),
            "k": [f"k{number}" for number in random.integers(0, 6, count)],
            "x": random.normal(size=count),
            "n": random.integers(0, 9, count),
        }
    )


def panes(rows: pa.Table, after: int, until: int) -> Summary:
    times = rows["ts"].cast(pa.int64()).to_numpy()
    starts = times - times % HOUR
    tagged = rows.append_column(PANE, pa.array(starts, UTC_MICROSECONDS))
    return partial(pane_spec(VIEW), tagged.filter(pa.array((starts + HOUR > after) & (starts + HOUR <= until))))


def epochs(rows: pa.Table, step: int, *, drain: bool = False) -> Iterator[Output]:
    """What a stream would hand over, a step of event time per epoch."""
    before = START - HOUR
    for number in range(1, 5 * DAY // step + 1):
        watermark = START + number * step + 17
        closed = panes(rows, before, watermark)
        given = {"v": closed} if closed.groups else {}
        yield Output(number, watermark, given, {"epoch": number, "watermark": watermark, "offsets": {"0": [0, number]}})
        before = watermark
    if drain:
        closed = panes(rows, before, END)
        yield Output(10**6, END, {"v": closed}, {"epoch": 10**6, "watermark": END})


def commit(store: FeatureStore, output: Output) -> None:
    """What the stream's own sink does before ours."""
    for summary in output.panes.values():
        for name, table in summary.tables.items():
            if table.num_rows:
                target = Table.create(f"{store.lake.panes('v')}/{name}", table.schema, exist_ok=True)
                target.append(table, transaction=Transaction("job", output.epoch), provenance=output.provenance)
    row = pa.table({"epoch": [output.epoch]})
    log = Table.create(store.lake.stream_log("events"), row.schema, exist_ok=True)
    log.append(row, transaction=Transaction("job", output.epoch), provenance=output.provenance)


def rows_of(store: FeatureStore) -> pa.Table:
    found = store.runs("v").read().drop_columns([EPOCH])
    return found.sort_by([("k", "ascending"), (EVENT_TIME, "ascending")]).combine_chunks()


def wanted(rows: pa.Table, until: int) -> pa.Table:
    made = feature_rows(panes(rows, START - HOUR, END), VIEW, until=until)
    return made.sort_by([("k", "ascending"), (EVENT_TIME, "ascending")]).combine_chunks()


@pytest.mark.parametrize("step", [40 * 60 * 1_000_000, 7 * HOUR])
def test_epochs_of_any_length_give_the_rows_of_one_batch(store: FeatureStore, step: int) -> None:
    rows = events()
    sink = FeatureSink(store, [VIEW])
    sink.open("job")
    for output in islice(epochs(rows, step), 30):
        sink.write(output)
    until = output.watermark - output.watermark % HOUR
    assert rows_of(store).equals(wanted(rows, until))


def test_a_row_under_embargo_does_not_hide_the_one_before_it(store: FeatureStore) -> None:
    view = replace(VIEW, embargo="5h")
    rows = events()
    sink = FeatureSink(store, [view])
    sink.open("job")
    for output in islice(epochs(rows, 50 * 60 * 1_000_000), 40):
        sink.write(output)
        now = output.watermark + 2 * HOUR
        made = store.runs("v").read()
        known = made.filter(pc.less_equal(made[CREATED_TIME], pa.scalar(now, UTC_MICROSECONDS)))
        newest = dict(zip(*known.group_by("k").aggregate([(EVENT_TIME, "max")]).columns, strict=True))
        found = store.reader().lookup([view], [{"k": key.as_py()} for key in newest], now).views[0]
        assert found.event_times == [time.cast(pa.int64()).as_py() for time in newest.values()]
    assert len(newest) == 6


def test_a_replayed_epoch_and_a_restart_change_nothing(store: FeatureStore) -> None:
    rows = events()
    sink = FeatureSink(store, [VIEW])
    sink.open("job")
    for output in epochs(rows, 5 * HOUR):
        commit(store, output)
        if output.epoch % 3 == 0:
            sink = FeatureSink(store, [VIEW])  # a crash after the stream's tables were written
            sink.open("job")
        sink.write(output)
        if output.epoch % 4 == 0:
            before = store.runs("v").manifest()
            sink.write(output)
            assert store.runs("v").manifest() == before
    until = output.watermark - output.watermark % HOUR
    assert rows_of(store).equals(wanted(rows, until))


def test_a_crash_between_offline_and_online_is_made_up_for(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mercury.features import panes as module

    rows = events()
    outputs = list(epochs(rows, 20 * HOUR))
    sink = FeatureSink(store, [VIEW])
    sink.open("job")
    for output in outputs[:-1]:
        commit(store, output)
        sink.write(output)
    commit(store, outputs[-1])
    with monkeypatch.context() as patch:
        patch.setattr(module, "publish", lambda *arguments, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sink.write(outputs[-1])
    again = FeatureSink(store, [VIEW])
    again.open("job")
    again.write(outputs[-1])
    check_served(store, outputs[-1].watermark + 2 * HOUR)


def check_served(store: FeatureStore, now: int) -> None:
    """Online is what the join answers at this moment, provenance included."""
    keys = [f"k{number}" for number in range(7)]
    labels = pa.table({"k": keys, "at": pa.array([now] * len(keys), UTC_MICROSECONDS)})
    want = training_set(store, [VIEW], labels, event_time="at").select(list(VIEW.columns)).to_pylist()
    found = store.reader().lookup([VIEW], [{"k": key} for key in keys], now)
    assert [found.row(row) for row in range(len(keys))] == want
    assert sum(row["count"] is not None for row in want) == 6


def test_online_rows_are_those_of_the_join_and_carry_epoch_and_offsets(store: FeatureStore) -> None:
    rows = events()
    sink = FeatureSink(store, [VIEW])
    sink.open("job")
    for output in epochs(rows, 9 * HOUR):
        sink.write(output)
        now = output.watermark + 2 * HOUR  # the greatest event time that the stream has seen
        if output.epoch > 4:
            check_served(store, now)
    told = store.reader().lookup([VIEW], [{"k": "k0"}], now).provenance(0)["v"]
    assert told["epoch"] == output.epoch
    assert told["sources"]["provenance"]["offsets"] == {"0": [0, output.epoch]}
    assert told["sources"]["panes"] == "Stream/events"


def test_the_availability_delay_is_in_the_created_time(store: FeatureStore) -> None:
    rows = events()
    sink = FeatureSink(store, [VIEW])
    sink.open("job")
    for output in epochs(rows, DAY):
        sink.write(output)
    found = rows_of(store)
    delay = pc.subtract(found[CREATED_TIME].cast(pa.int64()), found[EVENT_TIME].cast(pa.int64()))
    assert set(delay.to_pylist()) == {2 * HOUR}
    labels = pa.table({"k": ["k0"], "at": pa.array([START + 50 * HOUR], UTC_MICROSECONDS)})
    got = training_set(store, [VIEW], labels, event_time="at")["count"][0].as_py()
    times = rows["ts"].cast(pa.int64()).to_numpy()
    inside = (times >= START + 42 * HOUR) & (times < START + 48 * HOUR) & pc.equal(rows["k"], "k0").to_numpy()
    assert got == int(inside.sum())


def test_the_table_of_panes_gives_the_rows_of_the_sink(store: FeatureStore) -> None:
    rows = events()
    outputs = list(epochs(rows, 11 * HOUR))
    for output in outputs[:4]:
        commit(store, output)
    first = materialize(store, VIEW)
    assert first.rebuilt and first.online > 0
    for output in outputs[4:]:
        commit(store, output)
    second = materialize(store, VIEW)
    assert not second.rebuilt and second.offline > 0
    assert materialize(store, VIEW).offline == 0
    until = outputs[-1].watermark - outputs[-1].watermark % HOUR
    assert rows_of(store).equals(wanted(rows, until))
    check_served(store, outputs[-1].watermark + 2 * HOUR)
    assert materialize(store, VIEW, rebuild=True).offline == first.offline + second.offline
    assert rows_of(store).equals(wanted(rows, until))


def test_a_drained_stream_ends_at_its_last_pane_and_goes_on_when_asked(store: FeatureStore) -> None:
    rows = events()
    sink = FeatureSink(store, [VIEW])
    sink.open("job")
    for output in epochs(rows, DAY, drain=True):
        commit(store, output)
        sink.write(output)
    end = START + 5 * DAY
    assert rows_of(store).equals(wanted(rows, end))
    materialize(store, VIEW, until=end + 3 * DAY)
    assert rows_of(store).equals(wanted(rows, end + 3 * DAY))


def test_serving_can_go_back_to_an_earlier_moment(store: FeatureStore) -> None:
    rows = events()
    for output in epochs(rows, DAY, drain=True):
        commit(store, output)
    materialize(store, VIEW)
    for hours in (60, 30, 90):
        now = START + hours * HOUR
        materialize(store, VIEW, until=now)
        check_served(store, now)


def test_a_changed_view_is_made_anew(store: FeatureStore) -> None:
    rows = events()
    for output in epochs(rows, DAY):
        commit(store, output)
    materialize(store, VIEW)
    shorter = replace(VIEW, ttl="1d")
    assert materialize(store, shorter).rebuilt
    assert store.runs("v").manifest().view_version == shorter.version


def test_a_stream_without_panes_is_named(store: FeatureStore) -> None:
    with pytest.raises(TableNotFoundError):
        materialize(store, VIEW)


def test_the_streams_own_sink_writes_what_ours_reads(store: FeatureStore) -> None:
    """Between the two systems there is only the lake: the columns and addresses must agree."""
    from mercury.streaming.windows import PaneWindow

    engine = PaneWindow.of_view(VIEW)
    assert engine.spec.hash == pane_spec(VIEW).hash
    assert engine.summarize(events()).equals(panes(events(), START - HOUR, END))
