"""Labels that come late: joined to their predictions, and how many are to be expected by now.

A prediction is of the first event of its entity keys at or after it, as that of a flight is of the flight's departure;
two predictions before one event are both judged by it. What is not known after the horizon counts as missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.equality import comparable, normalized
from mercury.errors import SchemaError, did_you_mean

PREDICTION_ID, EVENT_TIME, KNOWN_AT, LABEL = "prediction_id", "event_time", "known_at", "label"


def join_labels(predictions: pa.Table, labels: pa.Table, keys: Sequence[str], *, horizon: int) -> pa.Table:
    """For each prediction, in order: ``prediction_id``, ``label`` (float64) and ``known_at``, null while not known.

    Parameters
    ----------
    predictions : ``prediction_id``, the key columns and ``event_time`` (timestamp: when the prediction is of).
    labels : the key columns, ``event_time``, ``label`` (0 or 1; null is none) and ``known_at``, when it came; one
        that came before its event counts as known at once. Of labels of one event that are within the horizon the one
        that came last counts, of those that came at the same time the greatest: see `contradictions`.
    horizon : microseconds from the prediction to its event, and to when its label was known.
    """
    for table, names in (
        (predictions, (PREDICTION_ID, EVENT_TIME, *keys)),
        (labels, (EVENT_TIME, LABEL, KNOWN_AT, *keys)),
    ):
        for name in names:
            if name not in table.column_names:
                raise SchemaError(f"there is no column {name!r} to join by", fix=did_you_mean(name, table.column_names))
    labels = labels.filter(pc.is_finite(labels[LABEL].cast(pa.float64())))
    asked, told = _instants(predictions[EVENT_TIME]), _instants(labels[EVENT_TIME])
    if not len(told):
        nothing = pa.nulls(predictions.num_rows, pa.float64())
        at = pa.nulls(predictions.num_rows, pa.timestamp("us", "UTC"))
        return pa.table({PREDICTION_ID: predictions[PREDICTION_ID], LABEL: nothing, KNOWN_AT: at})
    known = np.maximum(_instants(labels[KNOWN_AT]), told)
    values = labels[LABEL].cast(pa.float64()).to_numpy()
    mine, theirs = _codes(predictions, labels, keys)
    order = np.lexsort((values, known, told, theirs))
    events = _pairs(theirs[order], told[order], mine, asked)
    first = np.searchsorted(*events)
    event = np.minimum(first, len(order) - 1)
    # Labels of one event stand in the order in which they came; the last one within the horizon is looked for.
    number = np.cumsum(np.r_[False, events[0][1:] != events[0][:-1]])
    last = np.searchsorted(*_pairs(number, known[order], number[event], asked + horizon), side="right") - 1
    row = order[last]
    fits = (first < len(order)) & (last >= first) & (theirs[row] == mine) & (told[row] - asked <= horizon)
    return pa.table(
        {
            PREDICTION_ID: predictions[PREDICTION_ID],
            LABEL: pa.array(values[row], mask=~fits),
            KNOWN_AT: pa.array(known[row], mask=~fits).cast(pa.timestamp("us", "UTC")),
        }
    )


def contradictions(labels: pa.Table, keys: Sequence[str]) -> int:
    """Events that have several labels which came at the same time and are not the same."""
    # Arrow tells -0.0 from 0.0 in groups.
    for name in keys:
        labels = labels.set_column(labels.column_names.index(name), name, normalized(labels[name]))
    found = labels.group_by([*keys, EVENT_TIME, KNOWN_AT]).aggregate([(LABEL, "count_distinct")])
    return int(pc.sum(pc.greater(found[f"{LABEL}_count_distinct"], 1)).as_py() or 0)


@dataclass(frozen=True)
class Maturity:
    """Share of the labels that are known within each lag: ``lags`` in microseconds, rising, and ``shares`` at them."""

    lags: np.ndarray
    shares: np.ndarray

    def at(self, lags: np.ndarray) -> np.ndarray:
        """The share known within each of these lags; beyond the last that was seen, the last share."""
        place = np.searchsorted(self.lags, lags, side="right") - 1
        return np.where(place >= 0, self.shares[np.maximum(place, 0)] if len(self.shares) else 0.0, 0.0)


def maturity(asked: np.ndarray, known: np.ndarray, *, now: int, horizon: int) -> Maturity:
    """How fast labels come, from predictions of which some are too young to have theirs.

    ``asked`` and ``known`` are int64 microseconds, ``known`` -1 while there is no label. Source: Kaplan and Meier,
    "Nonparametric estimation from incomplete observations", JASA 53, 1958; a prediction without a label is censored at
    its age, or at the horizon.
    """
    here = known >= 0
    lag = np.where(here, np.maximum(known - asked, 0), np.minimum(np.maximum(now - asked, 0), horizon))
    lags = np.unique(lag[here])
    at_risk = len(lag) - np.searchsorted(np.sort(lag), lags, side="left")
    came = np.searchsorted(np.sort(lag[here]), lags, side="right") - np.searchsorted(np.sort(lag[here]), lags, "left")
    return Maturity(lags, 1 - np.cumprod(1 - came / np.maximum(at_risk, 1)))


def _instants(column: pa.ChunkedArray) -> np.ndarray:
    return pc.cast(column.cast(pa.timestamp("us", "UTC")), pa.int64()).fill_null(-1).to_numpy()


def _pairs(
    one: np.ndarray, other: np.ndarray, asked_one: np.ndarray, asked_other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers for pairs, ordered as the pairs are: those of rows and those that are looked for among them."""
    values, ranks = np.unique(np.r_[other, asked_other], return_inverse=True)
    return one * len(values) + ranks[: len(other)], asked_one * len(values) + ranks[len(other) :]


def _codes(predictions: pa.Table, labels: pa.Table, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Equal numbers for equal keys; a null equals nothing."""
    rows = predictions.num_rows + labels.num_rows
    codes, null = np.zeros(rows, np.int64), np.zeros(rows, bool)
    for name in keys:
        sides = ("the predictions", "the labels")
        both = pa.concat_arrays(comparable(predictions[name], labels[name], name=name, sides=sides))
        encoded = both.dictionary_encode()
        indices = encoded.indices.fill_null(0).to_numpy()
        null |= both.is_null().to_numpy(zero_copy_only=False)
        codes = np.unique(codes * (len(encoded.dictionary) + 1) + indices, return_inverse=True)[1]
    mine, theirs = codes[: predictions.num_rows].copy(), codes[predictions.num_rows :].copy()
    top = int(codes.max(initial=0)) + 1
    mine[null[: predictions.num_rows]], theirs[null[predictions.num_rows :]] = top, top + 1
    return mine, theirs
