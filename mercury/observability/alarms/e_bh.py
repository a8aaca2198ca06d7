"""Which values changed: Benjamini and Hochberg's procedure for e-values.

Source: Wang and Ramdas, "False discovery rate control with e-values", JRSS B 84(3), 2022: the false discovery rate is
at most alpha, under any dependence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

ALPHA = 0.05


def e_bh(log_e_values: Mapping[str, float], alpha: float = ALPHA) -> list[str]:
    """Names whose hypothesis is rejected, strongest first: the most k of which each has an e-value of m / (k alpha).

    >>> e_bh({"a": 9.0, "b": 0.1, "c": 4.0})
    ['a', 'c']
    """
    ordered = sorted(log_e_values, key=lambda name: (-log_e_values[name], name))
    rejected = 0
    for k, name in enumerate(ordered, start=1):
        if log_e_values[name] >= math.log(len(ordered) / (k * alpha)):
            rejected = k
    return ordered[:rejected]
