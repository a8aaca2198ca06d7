"""Ten statistics, each a pure function of two profiles of one column, with its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mercury.observability.statistics.base import CONFIDENCE, NOTHING, Pair, Statistic
from mercury.observability.statistics.chi_square import chi_square
from mercury.observability.statistics.hellinger import hellinger
from mercury.observability.statistics.jensen_shannon import jensen_shannon
from mercury.observability.statistics.kolmogorov_smirnov import kolmogorov_smirnov
from mercury.observability.statistics.l_infinity import l_infinity, most_changed
from mercury.observability.statistics.missing import missing
from mercury.observability.statistics.psi import psi
from mercury.observability.statistics.total_variation import total_variation
from mercury.observability.statistics.unseen import unseen
from mercury.observability.statistics.wasserstein import wasserstein

STATISTICS: Mapping[str, Callable[[Pair], Statistic]] = {
    "ks": kolmogorov_smirnov,
    "wasserstein": wasserstein,
    "psi": psi,
    "jensen_shannon": jensen_shannon,
    "hellinger": hellinger,
    "total_variation": total_variation,
    "l_infinity": l_infinity,
    "chi_square": chi_square,
    "missing": missing,
    "unseen": unseen,
}
"""The statistics by name."""

__all__ = ["CONFIDENCE", "NOTHING", "STATISTICS", "Pair", "Statistic", "most_changed"]
