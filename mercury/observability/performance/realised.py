"""Quality by labels: how predicted probabilities rank and fit 0/1 outcomes."""

from __future__ import annotations

import numpy as np

THRESHOLD = 0.5
"""Probability from which on a prediction means yes."""


def realised(labels: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> dict[str, float | None]:
    """``auc``, ``accuracy``, ``f1``, ``brier`` and ``positive_share`` of float64 labels (0 or 1) and probabilities.

    None where a figure has no value: all without rows, the AUC when all labels are equal. Rows whose label or score is
    not finite are left out.

    >>> realised(np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.4, 0.9]))["auc"]
    1.0
    """
    labels, scores = usable(labels, scores)
    if not len(labels):
        return dict.fromkeys(("auc", "accuracy", "f1", "brier", "positive_share"))
    yes = scores >= threshold
    return {
        "auc": weighted_auc(scores, labels, 1 - labels),
        "accuracy": float(np.mean(yes == (labels > 0))),
        "f1": f1(float(labels[yes].sum()), float((1 - labels[yes]).sum()), float(labels[~yes].sum())),
        "brier": float(np.mean((scores - labels) ** 2)),
        "positive_share": float(labels.mean()),
    }


def usable(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """The rows in which all columns are finite: one score that is not a number would make every figure one."""
    kept = np.logical_and.reduce([np.isfinite(column) for column in columns])
    return columns if kept.all() else tuple(column[kept] for column in columns)


def weighted_auc(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float | None:
    """Chance that a positive scores higher than a negative, ties counting half, where each row is both by its weights.

    None when one of the classes has no weight. Source: Mann and Whitney, Annals of Mathematical Statistics 18(1), 1947;
    Hanley and McNeil, Radiology 143(1), 1982, for its being the area under the ROC curve.
    """
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    yes, no = np.add.reduceat(positive[order], starts), np.add.reduceat(negative[order], starts)
    pairs = float(yes.sum() * no.sum())
    below = np.cumsum(no) - no
    return float(np.sum(yes * (below + no / 2))) / pairs if pairs > 0 else None


def f1(hits: float, false_alarms: float, misses: float) -> float | None:
    """Harmonic mean of precision and recall; None when there is neither a positive nor a yes."""
    both = 2 * hits + false_alarms + misses
    return 2 * hits / both if both > 0 else None
