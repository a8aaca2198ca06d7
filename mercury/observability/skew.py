"""Training-serving skew: features as they were served, against what the point-in-time join gives for the same rows.

Both come from one definition, so every value that differs has a cause: a late write to the online store, a feature that
training knew earlier than serving could, a definition that was changed without materializing it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.observability.drift import compare
from mercury.observability.profiles import learn, profile
from mercury.observability.reference import column_of, floats_of, is_text

RELATIVE = 1e-9
"""Numbers that differ by less, relatively, are the same: sums in another order."""


@dataclass(frozen=True)
class FeatureSkew:
    """Of one feature: rows that differ, and by how much the two distributions do (KS, or the greatest share)."""

    differing: int
    distance: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"differing": self.differing, "distance": self.distance}


@dataclass(frozen=True)
class Skew:
    """Of how many served rows, and what was found of each feature."""

    rows: int
    features: Mapping[str, FeatureSkew]

    @property
    def differing(self) -> int:
        """Values that differ, over all features."""
        return sum(feature.differing for feature in self.features.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        features = {name: feature.to_dict() for name, feature in self.features.items()}
        return {"rows": self.rows, "differing": self.differing, "features": features}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Skew:
        """What `to_dict` wrote."""
        return cls(data["rows"], {name: FeatureSkew(**entry) for name, entry in data["features"].items()})


def measure_skew(served: pa.Table, joined: pa.Table, features: Sequence[str]) -> Skew:
    """Compare two tables whose rows stand for the same predictions, in the same order."""
    found = {}
    for name in features:
        mine, theirs = column_of(served, name), column_of(joined, name)
        if is_text(mine.type) or is_text(theirs.type):
            mine, theirs = mine.cast(pa.string()), theirs.cast(pa.string())
        own, other = pa.table({name: mine}), pa.table({name: theirs})
        reference, then = learn(other)
        drift = compare(then, profile(own, reference)).columns[name]
        values = [drift.statistics[by].value for by in ("ks", "l_infinity")]
        distance = max((value for value in values if value is not None), default=0.0)
        found[name] = FeatureSkew(differing_rows(mine, theirs), distance)
    return Skew(served.num_rows, found)


def differing_rows(mine: pa.ChunkedArray, theirs: pa.ChunkedArray) -> int:
    """Rows in which the values differ; missing equals missing."""
    if pa.types.is_string(theirs.type):
        same = pc.fill_null(pc.equal(mine, theirs), False)
        both = pc.and_(pc.is_null(mine), pc.is_null(theirs))
        return len(mine) - int(pc.sum(pc.or_(same, both)).as_py() or 0)
    a, b = floats_of(mine), floats_of(theirs)
    return int(np.sum(~np.isclose(a, b, rtol=RELATIVE, atol=0.0, equal_nan=True)))
