"""Foreign keys: every key is found in another table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from mercury.quality.checks.base import Facts, Measurement, RowCheck
from mercury.quality.metrics.base import Metric
from mercury.quality.metrics.failures import Orphans, RowMetric
from mercury.quality.results import Verdict


@dataclass(frozen=True)
class ForeignKey(RowCheck):
    """Rows whose key is not in the referenced table within bounds; a key with a null part passes, as in SQL.

    The referenced keys are handed in by `bound`; without them the check is not evaluated.
    """

    keys: tuple[str, ...]
    table: str
    referenced: tuple[str, ...]
    reference: tuple[tuple[Any, ...], ...] | None = field(default=None, repr=False)

    kind: ClassVar[str] = "foreign_key"

    def bound(self, reference: tuple[tuple[Any, ...], ...]) -> ForeignKey:
        """The same check with the keys of the referenced table."""
        return replace(self, reference=reference)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.keys

    @property
    def metric(self) -> RowMetric:
        return Orphans(self.keys, self.reference or ())

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return () if self.reference is None else (self.metric,)

    @property
    def rejects_rows(self) -> bool:
        return self.reference is not None and super().rejects_rows

    @property
    def reason(self) -> str:
        return f"{', '.join(self.keys)} is not in {self.table}.{', '.join(self.referenced)}"

    @property
    def demand(self) -> str:
        found = f"found in {self.table}.{', '.join(self.referenced)}"
        return found if self.threshold.tolerates_none else f"{found}; failed rows {self.threshold.text}"

    def measure(self, facts: Facts) -> Measurement:
        if self.reference is None:
            return Measurement(
                note=f"no data for the table {self.table!r}; give --reference {self.table}=PATH",
                verdict=Verdict.NOT_EVALUATED,
            )
        return super().measure(facts)
