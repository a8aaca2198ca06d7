"""The online store: the newest row of each entity in LMDB, written by one, mapped by all."""

from mercury.features.online.reader import OnlineFeatures, OnlineReader, Status, ViewResult
from mercury.features.online.store import ShardWriter

__all__ = ["OnlineFeatures", "OnlineReader", "ShardWriter", "Status", "ViewResult"]
