"""LightGBM's parameters as a definition gives them: every alias by its own name, misspelt ones refused, threads set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from mercury.definitions import LightGBM
from mercury.errors import UsageError, did_you_mean

DEFAULTS: Mapping[str, Any] = {
    "objective": "binary",
    "metric": "binary_logloss",
    "verbosity": -1,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    # OpenMP's threads wait for each other spinning: two of them on one free core take ten times the time of one.
    "num_threads": 1,
}
"""What a definition overrides. `deterministic` gives the same trees for any number of threads."""

OBJECTIVES = ("binary", "cross_entropy", "xentropy")
"""Objectives whose scores are probabilities of the label."""


def parameters(trainer: LightGBM, threads: int | None = None) -> dict[str, Any]:
    """All parameters of a training, by LightGBM's own names, without the number of rounds.

    ``threads`` overrides ``num_threads`` of the definition; without either it is one.

    Raises `UsageError` for a name that LightGBM does not know (it would leave it out without a word), one that is given
    under two aliases, and for what another part of Mercury decides.
    """
    given: dict[str, Any] = {}
    for name, value in trainer.params.items():
        own = _own_names().get(name)
        if own is None:
            raise UsageError(f"LightGBM has no parameter {name!r}", where=_WHERE, fix=did_you_mean(name, _own_names()))
        if own in given:
            raise UsageError(f"parameter {own!r} is given twice, once as {name!r}", where=_WHERE, fix="Keep one")
        if own in _DECIDED:
            raise UsageError(f"parameter {name!r} cannot be given", where=_WHERE, fix=_DECIDED[own])
        given[own] = value
    merged = {**DEFAULTS, **given} | ({} if threads is None else {"num_threads": threads})
    count = merged["num_threads"]
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise UsageError(f"num_threads is {count!r}", where=_WHERE, fix="Give a whole number from 1 on")
    if merged["objective"] not in OBJECTIVES:
        raise UsageError(
            f"objective {merged['objective']!r} does not give probabilities",
            where=_WHERE,
            fix=f"Take one of: {', '.join(OBJECTIVES)}",
        )
    return merged


_WHERE = "params of LightGBM"

_DECIDED = {
    "num_iterations": "Give LightGBM(rounds=…)",
    "early_stopping_round": "Give LightGBM(rounds=…): the later examples only judge",
    "categorical_feature": "Features that are text are categories",
}


@cache
def _own_names() -> dict[str, str]:
    """LightGBM's own name of every parameter and alias."""
    from lightgbm.basic import _ConfigAliases

    return {alias: own for own, aliases in _ConfigAliases._get_all_param_aliases().items() for alias in aliases}
