"""Mercury: an ML-data platform on one Ray cluster.

The names that a project file is made of are importable from here; each system's own names from its package
(`mercury.features`, `mercury.streaming`, …). Importing `mercury` loads none of ray, pandas, pyspark and duckdb.
"""

from mercury.definitions import (
    BatchTable,
    Count,
    CountDistinct,
    Entity,
    FeatureService,
    FeatureView,
    First,
    Histogram,
    Job,
    Kafka,
    Last,
    LightGBM,
    Max,
    Mean,
    Min,
    Model,
    Project,
    Quantile,
    StdDev,
    Stream,
    Sum,
    TopK,
    Variance,
    Window,
)
from mercury.errors import MercuryError

__version__ = "0.1.0"

__all__ = [
    "BatchTable",
    "Count",
    "CountDistinct",
    "Entity",
    "FeatureService",
    "FeatureView",
    "First",
    "Histogram",
    "Job",
    "Kafka",
    "Last",
    "LightGBM",
    "Max",
    "Mean",
    "MercuryError",
    "Min",
    "Model",
    "Project",
    "Quantile",
    "StdDev",
    "Stream",
    "Sum",
    "TopK",
    "Variance",
    "Window",
    "__version__",
]
