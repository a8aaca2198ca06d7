"""Variance and standard deviation by merged moments: count, mean and M2, the sum of squared differences from the mean.

Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979. The
difference of a long sum of squares and a square of a sum is never taken: it cancels.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mercury.definitions import StdDev, Variance
from mercury.summaries.aggregates.base import Groups, Kept, StateColumn, number


def keep_moments(name: str, aggregate: Variance, argument: pa.DataType) -> Kept:
    """Null where fewer than ``ddof + 1`` values were seen; of infinite values the variance is NaN."""
    number(name, aggregate.kind, argument)
    columns = (
        StateColumn(f"{name}__n", pa.int64(), "moments", "n"),
        StateColumn(f"{name}__mean", pa.float64(), "moments", "mean"),
        StateColumn(f"{name}__m2", pa.float64(), "moments", "m2"),
    )

    def finish(groups: Groups) -> pa.Array:
        count = groups.scalars[columns[0].name].to_numpy()
        squares = groups.scalars[columns[2].name].to_numpy()
        enough = count > aggregate.ddof
        answer = np.full(len(count), np.nan)
        answer[enough] = squares[enough] / (count[enough] - aggregate.ddof)
        if isinstance(aggregate, StdDev):
            answer = np.sqrt(answer)
        return pa.array(answer, mask=~enough)

    return Kept(pa.float64(), columns, None, finish)
