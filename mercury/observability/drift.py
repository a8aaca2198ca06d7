"""Two profiles compared: ten statistics for each column, and a verdict by how large a change is, not by how sure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mercury.errors import SpecMismatchError, UsageError, did_you_mean
from mercury.observability.profiles import Profile
from mercury.observability.reference import Categories
from mercury.observability.statistics import STATISTICS, Pair, Statistic, most_changed

Verdict = Literal["no", "possible", "drift", "empty"]

TOLERANCE = 0.1
"""Change of a distribution function, or of a share, that is let pass unless told otherwise."""


@dataclass(frozen=True)
class ColumnDrift:
    """What was found of one column.

    ``verdict`` is "drift" when the lower bound of a distance is above the tolerance, "possible" when only the distance
    itself is, "empty" when there are no rows now. ``by`` says which distance decided, ``changed`` which value's share
    changed most, with its share then and now.
    """

    column: str
    verdict: Verdict
    by: str | None
    statistics: Mapping[str, Statistic]
    changed: tuple[str, float, float] | None
    tolerance: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        changed = None
        if self.changed is not None:
            changed = dict(zip(("what", "reference", "current"), self.changed, strict=True))
        return {
            "column": self.column,
            "verdict": self.verdict,
            "by": self.by,
            "tolerance": self.tolerance,
            "changed": changed,
            "statistics": {name: statistic.to_dict() for name, statistic in self.statistics.items()},
        }


@dataclass(frozen=True)
class DriftReport:
    """What was found of each column, by name, and how many rows were compared."""

    columns: Mapping[str, ColumnDrift]
    reference_rows: int
    current_rows: int

    @property
    def drifted(self) -> list[str]:
        """Columns whose verdict is drift, the most changed first."""
        found = [drift for drift in self.columns.values() if drift.verdict == "drift"]
        return [drift.column for drift in sorted(found, key=lambda drift: -_excess(drift))]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "reference_rows": self.reference_rows,
            "current_rows": self.current_rows,
            "columns": [drift.to_dict() for drift in self.columns.values()],
        }


def compare(
    reference_profile: Profile, current_profile: Profile, *, tolerance: float | Mapping[str, float] = TOLERANCE
) -> DriftReport:
    """Compare profiles of one reference; one ``tolerance`` for all columns or one for each.

    Raises `SpecMismatchError` when the profiles are of two references, `UsageError` for a tolerance that is not between
    0 and 1 or is of a column that the reference does not have.
    """
    reference = reference_profile.reference
    if current_profile.reference.hash != reference.hash:
        raise SpecMismatchError(
            f"profiles of the references {reference.hash} and {current_profile.reference.hash} do not compare",
            fix="Count both on one reference",
        )
    allowed = _tolerances(tolerance, reference.names)
    columns = {}
    for name in reference.names:
        pair = Pair.of(reference_profile[name], current_profile[name], reference.atom_share)
        columns[name] = compare_column(pair, allowed[name])
    return DriftReport(columns, reference_profile.rows, current_profile.rows)


def compare_column(pair: Pair, tolerance: float = TOLERANCE) -> ColumnDrift:
    """All statistics of one column, and the verdict."""
    found = {name: statistic(pair) for name, statistic in STATISTICS.items()}
    name = pair.reference.column.name
    if pair.empty:
        return ColumnDrift(name, "empty", None, found, None, tolerance)
    verdict: Verdict = "no"
    decided = None
    for by in ("ks", "l_infinity"):
        value, low = found[by].value, found[by].low
        if value is None or low is None or value <= tolerance:
            continue
        if low > tolerance and verdict != "drift":
            verdict, decided = "drift", by
        elif verdict == "no":
            verdict, decided = "possible", by
    # Over many categories the distance itself is mostly noise: only what it is at least decides.
    low = found["total_variation"].low
    if verdict != "drift" and isinstance(pair.reference.column, Categories) and low is not None and low > tolerance:
        verdict, decided = "drift", "total_variation"
    return ColumnDrift(name, verdict, decided, found, most_changed(pair), tolerance)


def _tolerances(tolerance: float | Mapping[str, float], names: list[str]) -> dict[str, float]:
    """The tolerance of each column, checked."""
    given = tolerance if isinstance(tolerance, Mapping) else dict.fromkeys(names, tolerance)
    for name, value in given.items():
        if name not in names:
            raise UsageError(f"a tolerance is given for {name!r}, which is no column", fix=did_you_mean(name, names))
        # Not a number compares as false with everything, and would let every change pass.
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float, np.integer, np.floating))
            or not 0 <= value <= 1
        ):
            what = f"tolerance={value!r} of {name!r} is not between 0 and 1"
            raise UsageError(what, fix="Give the change of a share that is let pass, as 0.1; 0 lets none pass")
    return {name: float(given.get(name, TOLERANCE)) for name in names}


def _excess(drift: ColumnDrift) -> float:
    distances = [drift.statistics[by].low for by in ("ks", "l_infinity", "total_variation")]
    return max(low - drift.tolerance for low in distances if low is not None)
