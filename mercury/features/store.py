"""Where the features of a project lie: offline runs in the lake, online rows in the project's state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mercury.features.layout import FeatureRuns
from mercury.features.online.reader import OnlineReader
from mercury.features.online.store import ShardWriter
from mercury.lake import Lake, local_folder

if TYPE_CHECKING:
    from mercury.config import Settings

ONLINE = "online"
"""Folder of the online store below the project's state."""


@dataclass(frozen=True)
class FeatureStore:
    """The two places that features live in.

    Parameters
    ----------
    lake : root of the project's tables. Runs are mapped into memory, so they must be on a local disk; tables need not.
    online : folder of the online store.
    settings : where lineage events go; None tells nobody.
    """

    lake: Lake
    online: Path
    settings: Settings | None = None

    @classmethod
    def of(cls, settings: Settings) -> FeatureStore:
        """The store of a project's settings."""
        return cls(Lake(settings.lake), Path(settings.state) / ONLINE, settings)

    def runs(self, view: str) -> FeatureRuns:
        """The offline rows of a view; `UsageError` when the lake is not on a local disk."""
        return FeatureRuns(local_folder(self.lake.feature_runs(view), "feature runs"))

    def reader(self) -> OnlineReader:
        """A reader of the online rows."""
        return OnlineReader(self.online)

    def writer(self) -> ShardWriter:
        """The writer of the online rows."""
        return ShardWriter(self.online)
