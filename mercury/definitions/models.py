"""Models: what is learnt from which features, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mercury.definitions.base import Definition, Named, set_field
from mercury.definitions.features import BatchTable, FeatureService
from mercury.definitions.streams import Stream
from mercury.definitions.values import FrozenMapping, Sql
from mercury.errors import did_you_mean

LABEL_COLUMN = "label"
"""The column of a training set that holds the label."""


@dataclass(frozen=True, eq=False)
class LightGBM(Definition):
    """Gradient-boosted trees. ``params`` go to LightGBM as they are, in no order; ``rounds`` is the number of trees."""

    params: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    rounds: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        set_field(self, "params", FrozenMapping(sorted(self.params.items())))
        if self.rounds < 1:
            raise self.fail(f"rounds={self.rounds} trains nothing", "Use 1 or more", "rounds")


@dataclass(frozen=True, eq=False)
class Model(Named):
    """A model over a feature service.

    Parameters
    ----------
    service : the features it reads.
    labels : the stream or table with one row per example: entity keys, ``event_time`` and what ``label`` needs.
    label : SQL expression of the label over a row of ``labels``.
    event_time : when the prediction is made: features are joined as known then.
    where : SQL condition that rows of ``labels`` must meet to be examples.
    """

    service: FeatureService | None = None
    labels: Stream | BatchTable | None = None
    label: str = ""
    event_time: str = ""
    where: Sql | None = None
    trainer: LightGBM = field(default_factory=LightGBM)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("service", "labels", "label", "event_time"):
            if not getattr(self, name):
                raise self.fail(f"{name} is missing", f"Give {name}=…", name)
        assert self.labels is not None and self.service is not None
        times = [column for column, kind in self.labels.schema.items() if kind == "timestamp"]
        if self.event_time not in times:
            what = f"event_time={self.event_time!r} is not a timestamp column of {self.labels.address}"
            raise self.fail(what, f"Timestamp columns: {', '.join(times) or 'none'}", "event_time")
        for view in self.service.views:
            for key in view.entity.keys if view.entity else ():
                if key not in self.labels.schema:
                    what = f"{self.labels.address} has no column {key!r}, by which {view.address} is joined"
                    raise self.fail(what, did_you_mean(key, self.labels.schema), "labels")
            for name in view.columns:
                if name in (self.event_time, LABEL_COLUMN):
                    what = f"feature {name!r} of {view.address} has the name of another column of the training set"
                    raise self.fail(what, "Rename the feature", "service")
