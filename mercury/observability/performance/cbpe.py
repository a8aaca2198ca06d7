"""Quality without labels: confidence-based performance estimation (CBPE).

A calibrated probability says how often the model is right, so the expected confusion matrix follows from scores alone.
Right as long as the inputs change and what follows from them does not: under concept drift the estimate stays where it
was. Source: Kivimäki, Białek, Kuberski and Nurminen, "Performance estimation in binary classification using calibrated
confidence", arXiv:2505.05295.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mercury.observability.performance.realised import THRESHOLD, f1, usable, weighted_auc

FOLDS = 3
BINS = 10

Z = 1.959963984540054
"""Of the 95 % band of what a finite number of rows would realise."""


@dataclass(frozen=True)
class Calibration:
    """A rising step-wise linear map from score to probability, by its corner points; None keeps scores as they are.

    ``error_before`` and ``error_after`` are the expected calibration errors on rows that it was not fitted on.
    """

    points: tuple[tuple[float, float], ...] | None
    error_before: float
    error_after: float

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of these scores; beyond the corner points the nearest one counts."""
        if self.points is None:
            return scores
        x, y = np.array(self.points).T
        return np.interp(scores, x, y)


def calibrate(labels: np.ndarray, scores: np.ndarray) -> Calibration:
    """Isotonic regression on rows that the model was not trained on, if it lowers the calibration error on others.

    Source: Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD
    2002. The error is compared over three interleaved folds.
    """
    labels, scores = usable(labels, scores)
    if len(labels) < FOLDS * BINS or labels.min() == labels.max():
        return Calibration(None, float("nan"), float("nan"))
    fold = np.arange(len(labels)) % FOLDS
    after = np.empty(len(labels))
    for held in range(FOLDS):
        after[fold == held] = _isotonic(labels[fold != held], scores[fold != held]).predict(scores[fold == held])
    errors = calibration_error(labels, scores), calibration_error(labels, after)
    if errors[1] >= errors[0]:
        return Calibration(None, *errors)
    fitted = _isotonic(labels, scores)
    points = zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True)
    return Calibration(tuple(points), *errors)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean distance of share and mean probability over ten groups of equal size, by probability."""
    order = np.argsort(probabilities, kind="stable")
    apart = np.array_split(labels[order] - probabilities[order], BINS)
    return float(sum(abs(part.sum()) for part in apart) / len(labels))


def estimate(scores: np.ndarray, calibration: Calibration, threshold: float = THRESHOLD) -> dict[str, float | None]:
    """Expected ``auc``, ``accuracy``, ``f1``, ``brier`` and ``positive_share`` of these predictions, without labels.

    ``auc_low``, ``auc_high``, ``accuracy_low`` and ``accuracy_high`` are the 95 % band in which the realised figure of
    so many rows falls if the estimate is right (normal; for the AUC by Hanley and McNeil, Radiology 143(1), 1982).
    Scores that are not finite are left out.
    """
    (scores,) = usable(scores)
    if not len(scores):
        return dict.fromkeys(("auc", "accuracy", "f1", "brier", "positive_share"))
    probability = calibration(scores)
    yes = scores >= threshold
    right = np.where(yes, probability, 1 - probability)
    accuracy = float(right.mean())
    hits, false_alarms = float(probability[yes].sum()), float((1 - probability[yes]).sum())
    spread = float(np.sqrt(np.sum(right * (1 - right)))) / len(scores)
    auc = weighted_auc(scores, probability, 1 - probability)
    out: dict[str, float | None] = {
        "auc": auc,
        "accuracy": accuracy,
        "f1": f1(hits, false_alarms, float(probability[~yes].sum())),
        "brier": float(np.mean(probability * (1 - scores) ** 2 + (1 - probability) * scores**2)),
        "positive_share": float(probability.mean()),
        **_band("accuracy", accuracy, spread),
    }
    if auc is not None:
        out |= _band("auc", auc, _auc_spread(auc, float(probability.sum()), float((1 - probability).sum())))
    return out


def _isotonic(labels: np.ndarray, scores: np.ndarray) -> Any:
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, labels)


def _band(name: str, middle: float, spread: float) -> dict[str, float | None]:
    return {f"{name}_low": max(0.0, middle - Z * spread), f"{name}_high": min(1.0, middle + Z * spread)}


def _auc_spread(auc: float, positives: float, negatives: float) -> float:
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    more = max(positives - 1, 0.0) * (one - auc**2) + max(negatives - 1, 0.0) * (two - auc**2)
    return float(np.sqrt(max(0.0, (auc * (1 - auc) + more) / max(positives * negatives, 1e-12))))
