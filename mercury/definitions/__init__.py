"""What a project file is made of: frozen values that mean and do not run."""

from mercury.definitions.aggregates import (
    Aggregate,
    Count,
    CountDistinct,
    First,
    Histogram,
    Last,
    Max,
    Mean,
    Min,
    Quantile,
    StdDev,
    Sum,
    TopK,
    Variance,
)
from mercury.definitions.analytics import GRAINS, Derived, Ratio, Rollup, SemanticModel
from mercury.definitions.base import Definition, Named, canonical_json
from mercury.definitions.features import BatchTable, Entity, FeatureService, FeatureView
from mercury.definitions.models import LightGBM, Model
from mercury.definitions.monitors import Monitor
from mercury.definitions.privacy import Bounds, Budget, PrivacyPolicy
from mercury.definitions.project import Job, Project
from mercury.definitions.schema import TYPES, arrow_schema
from mercury.definitions.streams import Kafka, Stream, Window
from mercury.definitions.values import FrozenMapping

__all__ = [
    "GRAINS",
    "TYPES",
    "Aggregate",
    "BatchTable",
    "Bounds",
    "Budget",
    "Count",
    "CountDistinct",
    "Definition",
    "Derived",
    "Entity",
    "FeatureService",
    "FeatureView",
    "First",
    "FrozenMapping",
    "Histogram",
    "Job",
    "Kafka",
    "Last",
    "LightGBM",
    "Max",
    "Mean",
    "Min",
    "Model",
    "Monitor",
    "Named",
    "PrivacyPolicy",
    "Project",
    "Quantile",
    "Ratio",
    "Rollup",
    "SemanticModel",
    "StdDev",
    "Stream",
    "Sum",
    "TopK",
    "Variance",
    "Window",
    "arrow_schema",
    "canonical_json",
]
