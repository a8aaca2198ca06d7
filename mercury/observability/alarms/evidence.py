"""The evidence of one window against one column's reference."""

from __future__ import annotations

import numpy as np

from mercury.observability.alarms.e_values import (
    log_added_e_value,
    log_distance_e_value,
    log_mean,
    log_shares_e_value,
)
from mercury.observability.alarms.seasonality import Season, distances
from mercury.observability.reference import Numbers

FAULTS = 2.0
"""Weight of what a broken source likes to fill, beside 1 for all other shares and 1 for the distance."""

DISTANCE = 0.05
"""Change of a distribution function that is let pass."""


def log_e_value(season: Season, counts: np.ndarray, hours: np.ndarray) -> float:
    """Logarithm of the e-value of "the rows' law is within the tolerances of the reference's at these hours".

    ``counts`` are of the window's rows by slot, ``hours`` the hour of the day of each row. For numbers it is the mean
    of the e-values of the distance and of the shares, for categories that of the shares.
    """
    rows = int(counts.sum())
    if not rows or not season.counts.any():
        return 0.0
    expected = season.expected(hours)
    counted = season.cells.add_up(counts)
    alike = expected.likeness.independent(rows)
    high = np.minimum(expected.cells + season.atom_share, 1.0)
    low = np.maximum(expected.cells - season.atom_share, 0.0)
    faults = season.cells.absent if expected.shared else season.cells.faults
    found, weights = [log_added_e_value(counted[faults], rows, high[faults], alike[faults])], [FAULTS]
    if not expected.shared:
        others = ~faults
        found.append(log_shares_e_value(counted[others], rows, low[others], high[others], alike[others]))
        weights.append(1.0)
        if isinstance(season.column, Numbers):
            values = slice(season.column.missing)
            distance = float(distances(counts[None, values], expected.shares[None, values])[0])
            size = expected.likeness.independent_of_distance(int(counts[values].sum()))
            found.append(log_distance_e_value(distance, DISTANCE, size))
            weights.append(1.0)
    return log_mean(found, weights)
