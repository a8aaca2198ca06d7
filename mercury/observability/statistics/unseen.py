"""How many rows have a category that the reference does not know, or an infinite value that it did not have.

Source of the interval: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
"""

from __future__ import annotations

from mercury.observability.reference import Categories
from mercury.observability.statistics.base import NOTHING, Pair, Statistic
from mercury.observability.statistics.missing import wilson


def unseen(pair: Pair) -> Statistic:
    """The share of all rows, between 0 and 1: of text unseen categories, of numbers infinities that are new."""
    rows = pair.current.rows
    if not rows:
        return NOTHING
    column = pair.reference.column
    if isinstance(column, Categories):
        count = pair.current.unseen
    else:
        infinite = pair.current.counts[[0, -2]] * (pair.reference.counts[[0, -2]] == 0)
        count = int(infinite.sum())
    return Statistic(count / rows, *wilson(count, rows))
