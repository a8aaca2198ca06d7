"""Monitors: what is watched of a model in service, and how rarely an alarm may be false."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mercury.definitions.base import Named
from mercury.definitions.models import Model
from mercury.definitions.values import Duration, Length, Sql
from mercury.time import duration


@dataclass(frozen=True, eq=False)
class Monitor(Named):
    """Watches the features and predictions of a model, and further values of the rows that its labels come from.

    Parameters
    ----------
    model : the model; its features, its predicted probability and, once known, its labels are watched.
    window : event time that one profile covers, aligned to midnight of ``timezone``.
    timezone : IANA name.
    watch : name to SQL expression over a row of the model's ``labels`` source.
    watch_where : SQL condition on the rows of that source that are watched.
    label_horizon : how long after a prediction its label is waited for; a later one counts as missing.
    average_run_length : expected time from one false alarm of the whole monitor to the next while nothing changes
        (20 years unless said otherwise), over all values that it watches.
    atom_share : a value that makes up at least this share of the reference is kept apart from its neighbours, so
        that a missing value written as 0 is seen.
    """

    model: Model | None = None
    window: Length = "1d"
    timezone: str = "UTC"
    watch: Mapping[str, Sql] = field(default_factory=dict)
    watch_where: Sql | None = None
    label_horizon: Duration = "30d"
    average_run_length: Length = "7305d"
    atom_share: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model is None:
            raise self.fail("the monitor watches no model", "Write model=delay_risk, a Model", "model")
        self.check_timezone("timezone", self.timezone)
        if not 0.0 < self.atom_share <= 0.5:
            fix = "Use a share of the rows above 0 and at most 0.5, as 0.01"
            raise self.fail(f"atom_share={self.atom_share} is out of range", fix, "atom_share")
        assert self.model.service is not None
        if duration(self.average_run_length) < duration(self.window):
            fix = f"Write at least the window, as average_run_length={self.window!r}; '7305d' is 20 years"
            found = f"average_run_length={self.average_run_length!r} is shorter than window={self.window!r}"
            raise self.fail(found, fix, "average_run_length")
        # The predicted probability is watched by this name.
        taken = {"score", *(name for view in self.model.service.views for name in view.columns)}
        for name in self.watch:
            self.check_output("watch", name, taken)
