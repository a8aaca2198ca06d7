"""The feature store: features as known then, offline and online, and proof that nothing leaked from the future.

store = FeatureStore.of(settings)
materialize(store, view)                                        tables and panes → offline runs, online rows
training_set(store, service, labels, event_time="sched_dep")    labels with features as known at their time
store.reader().lookup(service, [{"carrier": "UA"}])             the newest features, mapped from LMDB
audit(training, label="late", event_time="sched_dep")           what knows more than it could have
"""

from mercury.features.gain import GainOptions
from mercury.features.layout import FeatureRuns
from mercury.features.leakage import AuditReport, Finding, History, audit
from mercury.features.materialization import Materialized, materialize
from mercury.features.online import OnlineFeatures, OnlineReader, ShardWriter, Status
from mercury.features.panes import FeatureSink
from mercury.features.pit import JoinOptions, ViewRows, join
from mercury.features.publishing import publish
from mercury.features.store import FeatureStore
from mercury.features.training import provenance_of, training_set
from mercury.features.windows import feature_rows, pane_window

__all__ = [
    "AuditReport",
    "FeatureRuns",
    "FeatureSink",
    "FeatureStore",
    "Finding",
    "GainOptions",
    "History",
    "JoinOptions",
    "Materialized",
    "OnlineFeatures",
    "OnlineReader",
    "ShardWriter",
    "Status",
    "ViewRows",
    "audit",
    "feature_rows",
    "join",
    "materialize",
    "pane_window",
    "provenance_of",
    "publish",
    "training_set",
]
