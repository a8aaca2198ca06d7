"""How much a column adds to what the others know, out of time: the numbers behind the last check of the audit.

A gain is ``AUC(context + column) - AUC(context)`` of a LightGBM that trains on the examples before a cutoff and is
measured on those from it on. The context of a *suspect* is the trusted columns; where none are trusted every column is
a suspect and its context is all the others. A column that is close to a finding is fitted once more, permuted within
each side of the cutoff: what noise gains is not evidence.

The area under the ROC curve is computed from ranks (Mann and Whitney 1947), ties counted half.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import DataError
from mercury.features.instants import NULL_INSTANT
from mercury.time import to_iso

CATEGORIES = 256
"""Text columns of more distinct values are given to the trees as ordered codes, not as categories."""

CLOSE = 0.02
"""Gain from which a column is fitted again permuted, and from which a suspect is tried in pairs."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GainOptions:
    """How gains are measured.

    Parameters
    ----------
    trusted : columns that are known to be available at prediction time; the others are suspects. Empty: all are
        suspects, each against all others, which cannot tell which of two columns that leak together is the honest one.
    rows : examples used, drawn at random with `seed`.
    cutoff : microseconds UTC between training and test; None: after 70 % of the examples.
    rounds : trees of each fit.
    max_pairs : pairs of suspects tried together; 0: none.
    """

    trusted: Sequence[str] = ()
    rows: int = 40_000
    cutoff: int | None = None
    rounds: int = 60
    seed: int = 7
    max_pairs: int = 15


@dataclass(frozen=True)
class Gain:
    """What one column adds: AUC alone, AUC with its context, the gain over the context, and the gain of noise."""

    alone: float
    auc: float
    gain: float
    null_gain: float


@dataclass(frozen=True)
class PairGain:
    """Two suspects with the trusted columns: their AUC, and that of the better of the two without the other."""

    auc: float
    better: float


@dataclass(frozen=True)
class Gains:
    """Gains of all suspects and of their pairs. ``base_auc`` is that of the trusted columns, or of all columns."""

    columns: Mapping[str, Gain]
    pairs: Mapping[tuple[str, str], PairGain]
    trusted: tuple[str, ...]
    base_auc: float
    rows: int
    fits: int


def conditional_gains(
    training: pa.Table, label: str, asked: npt.NDArray[np.int64], columns: Sequence[str], options: GainOptions
) -> Gains:
    """Gains of the columns that are not trusted.

    `asked` is the label time of each row, microseconds. Raises `DataError` when one side of the cutoff does not hold
    both classes, or has too few rows to say anything.
    """
    examples = _Examples(training, label, asked, columns, options)
    trusted = [name for name in columns if name in set(options.trusted)]
    suspects = [name for name in columns if name not in set(trusted)]
    base = examples.auc(trusted or columns)
    gains: dict[str, Gain] = {}
    for name in suspects:
        context = trusted or [other for other in columns if other != name]
        without = base if trusted else examples.auc(context)
        auc = examples.auc([*context, name]) if trusted else base
        gain = auc - without
        null = examples.auc([*context, name], permuted=name) - without if gain > CLOSE else 0.0
        gains[name] = Gain(examples.auc([name]), auc, gain, null)
    pairs: dict[tuple[str, str], PairGain] = {}
    if trusted:
        strongest = sorted(suspects, key=lambda name: -gains[name].auc)
        tried = [name for name in strongest if gains[name].gain > CLOSE or gains[name].alone > 0.55] or strongest
        for first, second in itertools.islice(itertools.combinations(tried, 2), options.max_pairs):
            auc = examples.auc([*trusted, first, second])
            pairs[first, second] = PairGain(auc, max(gains[first].auc, gains[second].auc))
    return Gains(gains, pairs, tuple(trusted), base, examples.rows, examples.fits)


def roc_auc(target: npt.NDArray[np.bool_], score: Floats) -> float:
    """Area under the ROC curve by ranks.

    >>> roc_auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    values, place, count = np.unique(score, return_inverse=True, return_counts=True)
    del values
    last = np.cumsum(count)
    ranks = (last - (count - 1) / 2)[place]
    positive = int(target.sum())
    negative = len(target) - positive
    return float((ranks[target].sum() - positive * (positive + 1) / 2) / (positive * negative))


class _Examples:
    """The sample as numbers, and fits on it."""

    def __init__(
        self,
        training: pa.Table,
        label: str,
        asked: npt.NDArray[np.int64],
        columns: Sequence[str],
        options: GainOptions,
    ) -> None:
        self.fits = 0
        self._options = options
        usable = np.flatnonzero(pc.is_valid(training[label]).to_numpy() & (asked != NULL_INSTANT))
        if len(usable) > options.rows:
            drawn = np.random.default_rng(options.seed).choice(len(usable), options.rows, replace=False)
            usable = usable[np.sort(drawn)]
        self.rows = len(usable)
        sample = training.select([label, *columns]).take(pa.array(usable))
        moments = asked[usable]
        target = sample[label].cast(pa.float64()).to_numpy()
        if not np.isin(target, (0.0, 1.0)).all():
            raise DataError(
                f"label {label!r} has values other than 0 and 1", fix="Give a condition, as in 'delay > 15'"
            )
        cutoff = options.cutoff
        if cutoff is None:
            cutoff = int(np.quantile(moments, 0.7, method="higher")) if len(moments) else 0
        self._early = moments < cutoff
        self._target = target.astype(np.bool_)
        for side, chosen in (("before", self._early), ("from", ~self._early)):
            positive = int(self._target[chosen].sum())
            if min(positive, int(chosen.sum()) - positive) < 10:
                raise DataError(
                    f"{int(chosen.sum())} examples {side} {to_iso(cutoff)}, {positive} of them positive, are too few",
                    where=f"label {label!r}",
                    fix="Give more examples or another cutoff",
                )
        self._numbers: dict[str, Floats] = {}
        self._categorical: set[str] = set()
        for name in columns:
            self._numbers[name], categorical = _numbers(sample[name])
            if categorical:
                self._categorical.add(name)

    def auc(self, columns: Sequence[str], permuted: str | None = None) -> float:
        """Out-of-time AUC of a model of these columns; one of them permuted within each side of the cutoff."""
        import lightgbm

        self.fits += 1
        matrix = np.column_stack([self._numbers[name] for name in columns])
        if permuted is not None:
            place = list(columns).index(permuted)
            random = np.random.default_rng(self._options.seed)
            for side in (self._early, ~self._early):
                matrix[side, place] = random.permutation(matrix[side, place])
        params = {
            "objective": "binary",
            "verbosity": -1,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": self._options.seed,
            "num_leaves": 31,
            "learning_rate": 0.15,
            "min_data_in_leaf": 40,
            "min_data_per_group": 100,
            "max_bin": 127,
        }
        data = lightgbm.Dataset(
            matrix[self._early],
            self._target[self._early].astype(np.float64),
            categorical_feature=[place for place, name in enumerate(columns) if name in self._categorical],
            free_raw_data=True,
        )
        booster = lightgbm.train(params, data, num_boost_round=self._options.rounds)
        late = ~self._early
        return roc_auc(self._target[late], np.asarray(booster.predict(matrix[late], num_threads=1)))


def _numbers(column: pa.ChunkedArray) -> tuple[Floats, bool]:
    """A column as float64 with NaN for null, and whether it is a category."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return column.cast(pa.float64()).to_numpy().astype(np.float64), False
    known = pc.unique(column).drop_null()
    known = known.take(pc.sort_indices(known))
    codes = pc.index_in(column, value_set=known, skip_nulls=True).cast(pa.float64()).to_numpy()
    return codes.astype(np.float64), len(known) <= CATEGORIES
