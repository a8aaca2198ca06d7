"""Models: what is learnt from which features, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mercury.definitions.base import Definition, Named, set_field
from mercury.definitions.features import BatchTable, FeatureService
from mercury.definitions.streams import Stream


@dataclass(frozen=True, eq=False)
class LightGBM(Definition):
    """Gradient-boosted trees. ``params`` go to LightGBM as they are; ``rounds`` is the number of trees."""

    params: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    rounds: int = 200

    def __post_init__(self) -> None:
        set_field(self, "params", dict(self.params))
        if self.rounds < 1:
            raise self.fail(f"rounds={self.rounds} trains nothing", "Use 1 or more")


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
    where: str | None = None
    trainer: LightGBM = field(default_factory=LightGBM)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("service", "labels", "label", "event_time"):
            if not getattr(self, name):
                raise self.fail(f"{name} is missing", f"Give {name}=…")
        assert self.labels is not None
        if self.labels.schema.get(self.event_time) != "timestamp":
            raise self.fail(f"event_time={self.event_time!r} is not a timestamp column of {self.labels.address}")
