"""What a stream's job tells Prometheus: a few figures per committed epoch, never one per record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mercury.runtime.metrics import Metric, Recorder, Update
from mercury.streaming.watermarks import BEGINNING, END
from mercury.time import SECOND

if TYPE_CHECKING:
    from mercury.streaming.coordinator import EpochProgress

_STREAM = ("stream",)

STREAM_METRICS = (
    Metric("mercury_stream_records_total", "counter", "Records read, whatever became of them.", _STREAM),
    Metric("mercury_stream_rows_total", "counter", "Records that became rows.", _STREAM),
    Metric("mercury_stream_late_rows_total", "counter", "Rows that came too late to count.", _STREAM),
    Metric("mercury_stream_duplicates_total", "counter", "Later copies of an event that were dropped.", _STREAM),
    Metric("mercury_stream_heartbeats_total", "counter", "Records that only moved event time.", _STREAM),
    Metric("mercury_stream_dead_letters_total", "counter", "Records refused, by kind.", (*_STREAM, "kind")),
    Metric("mercury_stream_window_rows_total", "counter", "Rows of closed windows and panes.", (*_STREAM, "window")),
    Metric("mercury_stream_epochs_total", "counter", "Epochs committed.", _STREAM),
    Metric("mercury_stream_worker_restarts_total", "counter", "Workers that died and were replaced.", _STREAM),
    Metric("mercury_stream_phase_seconds_total", "counter", "Time by phase of an epoch.", (*_STREAM, "phase")),
    Metric("mercury_stream_epoch_seconds", "histogram", "Duration of an epoch from plan to clean-up.", _STREAM),
    Metric("mercury_stream_commit_seconds", "histogram", "Of it, writing tables and the job's log.", _STREAM),
    Metric(
        "mercury_stream_watermark_seconds",
        "gauge",
        "Event time as a Unix time below which rows are late; +Inf once drained, absent before the first event.",
        _STREAM,
    ),
    Metric("mercury_stream_last_commit_timestamp_seconds", "gauge", "Unix time of the last commit.", _STREAM),
    Metric("mercury_stream_consumer_lag", "gauge", "Records not read yet, by partition.", (*_STREAM, "partition")),
)
"""What `StreamMetrics` records."""

_COMMIT_PHASES = ("written", "committed")


class StreamMetrics:
    """Turns the progress of one job into updates.

    Parameters
    ----------
    stream : the stream's name, the label that all its metrics have.
    recorder : takes the updates; it knows `STREAM_METRICS`.
    """

    def __init__(self, stream: str, recorder: Recorder) -> None:
        self._stream, self._recorder = stream, recorder
        self._restarts = 0

    def stands(self, watermark: int, lags: Mapping[int, int]) -> None:
        """Say where the job stands before its first epoch."""
        self._recorder.apply(self._standing(watermark, lags))

    def committed(self, progress: EpochProgress, now: int) -> None:
        """Say what an epoch did; ``now`` in µs."""
        counts, own = progress.counts, {"stream": self._stream}
        totals = {
            "records": counts.events,
            "rows": counts.rows,
            "late_rows": counts.late,
            "duplicates": counts.duplicates,
            "heartbeats": counts.heartbeats,
            "epochs": 1,
            "worker_restarts": progress.restarts - self._restarts,
        }
        self._restarts = progress.restarts
        updates = [Update(f"mercury_stream_{name}_total", number, own) for name, number in totals.items()]
        for label, name, numbers in (
            ("kind", "dead_letters", counts.dead_kinds),
            ("window", "window_rows", counts.windows),
            ("phase", "phase_seconds", progress.seconds),
        ):
            for key, number in numbers.items():
                updates.append(Update(f"mercury_stream_{name}_total", number, {**own, label: key}))
        commit = sum(progress.seconds.get(phase, 0.0) for phase in _COMMIT_PHASES)
        updates += [
            Update("mercury_stream_epoch_seconds", sum(progress.seconds.values()), own),
            Update("mercury_stream_commit_seconds", commit, own),
            Update("mercury_stream_last_commit_timestamp_seconds", now / SECOND, own),
        ]
        self._recorder.apply(updates + self._standing(progress.watermark, progress.lags))

    def _standing(self, watermark: int, lags: Mapping[int, int]) -> list[Update]:
        own = {"stream": self._stream}
        lag = "mercury_stream_consumer_lag"
        reached = None if watermark == BEGINNING else float("inf") if watermark == END else watermark / SECOND
        return [
            Update("mercury_stream_watermark_seconds", reached, own),
            *(Update(lag, count, {**own, "partition": str(partition)}) for partition, count in sorted(lags.items())),
        ]
