"""The feature store: features as known then, offline and online, and proof that nothing leaked from the future.

store = FeatureStore.of(settings)
materialize(store, view)                                        tables and panes → offline runs, online rows
training_set(store, service, labels, event_time="sched_dep")    labels with features as known at their time
store.reader().lookup(service, [{"carrier": "UA"}])             the newest features, mapped from LMDB
audit(training, label="late", event_time="sched_dep")           what knows more than it could have
"""

from mercury.features.layout import FeatureRuns
from mercury.features.online import OnlineFeatures, OnlineReader, ShardWriter, Status
from mercury.features.pit import JoinOptions, ViewRows, join
from mercury.features.store import FeatureStore
from mercury.features.training import provenance_of, training_set

__all__ = [
    "FeatureRuns",
    "FeatureStore",
    "JoinOptions",
    "OnlineFeatures",
    "OnlineReader",
    "ShardWriter",
    "Status",
    "ViewRows",
    "join",
    "provenance_of",
    "training_set",
]
