"""The greatest change of one share: of a frequent value, a category, a group, the missing, the infinite, the unseen.

It sees what distances over the whole line do not: zeros written for a tenth of the values. Source of the interval:
Hoeffding, "Probability inequalities for sums of bounded random variables", JASA 58, 1963, for all cells at once.
"""

from __future__ import annotations

import math

from mercury.observability.statistics.base import CONFIDENCE, NOTHING, Pair, Statistic


def l_infinity(pair: Pair) -> Statistic:
    """Between 0 and 1, over the cells."""
    if pair.empty:
        return NOTHING
    changes = pair.cell_changes
    value = float(changes.max())
    noise = sum(
        math.sqrt(math.log(4 * len(changes) / (1 - CONFIDENCE)) / (2 * side.rows))
        for side in (pair.reference, pair.current)
    )
    return Statistic(value, max(0.0, value - noise), min(1.0, value + noise))


def most_changed(pair: Pair) -> tuple[str, float, float]:
    """The cell that changed most, with its share in the reference and now."""
    p, q = pair.cell_shares
    place = int(pair.cell_changes.argmax())
    return pair.cells.names[place], float(p[place]), float(q[place])
