"""The outlook of a metric: its next buckets of time as forecast from those that have closed."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mercury.analytics.engine import Planner
from mercury.definitions import Count, CountDistinct, SemanticModel, Sum
from mercury.errors import MercuryError, UsageError, did_you_mean
from mercury.time import to_iso

HORIZONS = {"hour": 24, "day": 7, "week": 4, "month": 3}
"""Grains that are forecast, and how many buckets after the last that closed."""

HISTORY = 400
"""Closed buckets that a forecast is made from, at the most."""

LEVEL = 80
"""Of the intervals, in percent."""

KEPT = 512


@dataclass(frozen=True)
class Outlook:
    """Forecasts of one metric, the first of them of the bucket that is open.

    Parameters
    ----------
    buckets : the beginnings, ISO 8601: days of the model's calendar, hours in UTC.
    forecast, low, high : a value each; the interval is one of 80 %, None where there were too few errors to learn from.
    coverage : share of earlier values that such intervals held.
    note : why there is no forecast; then the others are empty.
    """

    by: str
    buckets: tuple[str, ...] = ()
    forecast: tuple[float, ...] = ()
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    coverage: float | None = None
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "by": self.by,
            "buckets": list(self.buckets),
            "forecast": list(self.forecast),
            f"lo-{LEVEL}": list(self.low),
            f"hi-{LEVEL}": list(self.high),
            "coverage": self.coverage,
            "note": self.note,
        }


class Outlooks:
    """Outlooks of a planner's metrics, each made once for its last closed bucket; safe in several threads."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._known: OrderedDict[tuple[str, str, str, str], Outlook] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, model: str, metric: str, by: str) -> Outlook:
        """The outlook of a metric by hour, day, week or month.

        Raises `UsageError` for another grain and for a model with a privacy policy, whose every answer would be
        charged, `NotFoundError` for a metric that does not exist.
        """
        if by not in HORIZONS:
            raise UsageError(f"by={by!r} is not forecast", where="by", fix=did_you_mean(by, HORIZONS))
        definition = self._planner.model(model).model
        if definition.privacy is not None:
            raise UsageError(f"{model!r} has a privacy policy: each forecast would be charged", where="model")
        rows = self._planner.answer(f"{metric} by {by} order by {by} desc limit {HISTORY + 1}", model=model).table
        kind = rows.schema.field(metric).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return Outlook(by, note=f"{metric} is {kind}, not a number")
        closed = closed_series(rows, metric, by)
        if not closed.num_rows:
            return Outlook(by, note=f"no {by} has closed yet")
        key = (model, metric, by, str(rows[by][0]))
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        found = _made(closed, definition, metric, by, rows[by][0])
        with self._lock:
            self._known[key] = found
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found


def closed_series(rows: pa.Table, metric: str, by: str) -> pa.Table:
    """``ds`` and ``y`` of the buckets that have closed, oldest first; the newest one is open and is left out."""
    rows = rows.sort_by(by)
    rows = rows.slice(0, max(0, rows.num_rows - 1))
    series = pa.table({"ds": rows[by], "y": rows[metric].cast(pa.float64())})
    return series.filter(pc.is_finite(series["y"]))


def _made(closed: pa.Table, model: SemanticModel, metric: str, by: str, open_: pa.Scalar) -> Outlook:
    from mercury.forecasting import forecast, read_panel

    # Where nothing happened a count is 0, and a mean is not known.
    counted = isinstance(model.metrics[metric], (Count, Sum, CountDistinct))
    if counted:
        closed = _up_to(closed, open_, by)
    try:
        panel = read_panel(closed, time="ds", value="y", gaps="zero" if counted else "auto")
        made = forecast(panel, HORIZONS[by], levels=(LEVEL,))
    except MercuryError as error:
        return Outlook(by, note=error.what)
    days = pa.types.is_date(closed["ds"].type)
    # The open bucket comes after some without a row, of which a mean is not known.
    table = made.table.filter(pc.greater_equal(made.table["ds"], open_.cast(made.table["ds"].type)))
    if not table.num_rows:
        return Outlook(by, note=f"nothing happened for {HORIZONS[by]} times a {by}")
    texts = [to_iso(int(value.timestamp() * 1e6)) for value in table["ds"].to_pylist()]
    return Outlook(
        by,
        tuple(text[: len("2013-01-31")] if days else text for text in texts),
        tuple(table["forecast"].to_pylist()),
        tuple(table[f"lo-{LEVEL}"].to_pylist()),
        tuple(table[f"hi-{LEVEL}"].to_pylist()),
        made.coverage[LEVEL] if math.isfinite(made.coverage[LEVEL]) else None,
    )


def _up_to(closed: pa.Table, open_: pa.Scalar, by: str) -> pa.Table:
    """The series up to the bucket before the open one, with a 0 there if nothing happened in it."""
    kind = closed["ds"].type
    if by == "hour":
        before = pc.subtract(open_, pa.scalar(timedelta(hours=1), pa.duration("us"))).cast(kind)
    else:
        day = open_.as_py() - timedelta(days=7 if by == "week" else 1)
        before = pa.scalar(day.replace(day=1) if by == "month" else day, kind)
    if closed["ds"][-1].equals(before):
        return closed
    return pa.concat_tables([closed, pa.table({"ds": pa.array([before], kind), "y": [0.0]})])


__all__ = ["HISTORY", "HORIZONS", "LEVEL", "Outlook", "Outlooks", "closed_series"]
