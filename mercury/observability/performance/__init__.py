"""How good a model is in service: by the labels that have come, and before they come."""

from mercury.observability.performance.cbpe import Calibration, calibrate, estimate
from mercury.observability.performance.labels import Maturity, contradictions, join_labels, maturity
from mercury.observability.performance.realised import realised

__all__ = ["Calibration", "Maturity", "calibrate", "contradictions", "estimate", "join_labels", "maturity", "realised"]
