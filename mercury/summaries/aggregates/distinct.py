"""Distinct counts: exact, with the value as one more group column, or by HyperLogLog as (group, register) to rank.

Sources: Flajolet, Fusy, Gandouet and Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation
algorithm", 2007, for the sketch, whose standard error is ``1.04 / sqrt(2**precision)``; Ertl, "New cardinality
estimation algorithms for HyperLogLog sketches", 2017, section 4, for the estimate, which has no bias at any count and
so needs neither linear counting nor tables.

The hash is MD5 of the value's text, since every engine has it: the first 20 bits choose the register, the 40 bits after
them give the rank. Forty bits are enough for 2**40 distinct values per register.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import pyarrow as pa

from mercury.definitions import CountDistinct
from mercury.errors import SchemaError
from mercury.summaries.aggregates.base import Groups, Kept, Sketch

REGISTER_BITS, RANK_BITS = 20, 40


def keep_distinct(name: str, aggregate: CountDistinct, argument: pa.DataType) -> Kept:
    """int64; 0 where there was no value."""
    return _exact(name, argument) if aggregate.exact else _approximate(name, aggregate, argument)


def value_counts(name: str, argument: pa.DataType) -> Sketch:
    """The sketch of all values with how often each came: (group, value) to count."""
    cell, count = pa.field(f"{name}__value", argument), pa.field(f"{name}__count", pa.int64())
    return Sketch(cell, count, "sum", lambda values: values, lambda _, value: (value, "1"))


def _exact(name: str, argument: pa.DataType) -> Kept:
    def finish(groups: Groups) -> pa.Array:
        return pa.array(np.bincount(groups.group, minlength=groups.count).astype(np.int64))

    return Kept(argument, (), value_counts(name, argument), finish)


def _approximate(name: str, aggregate: CountDistinct, argument: pa.DataType) -> Kept:
    if pa.types.is_floating(argument):
        raise SchemaError(
            f"approximate CountDistinct {name!r} is of a float",
            fix="Engines write floats differently: cast it to bigint or text, or use exact=True",
        )
    precision = aggregate.precision

    def sql(dialect: str, value: str) -> tuple[str, str]:
        bits = _hash_sql(dialect, _text_sql(dialect, value, argument))
        rest = f"({bits} & {(1 << RANK_BITS) - 1})"
        shift = REGISTER_BITS + RANK_BITS - precision
        register = f"{bits} >> {shift}" if dialect == "duckdb" else f"shiftright({bits}, {shift})"
        # The number of bits of an integer; a half more keeps an engine's logarithm off the powers of two.
        length = f"CASE WHEN {rest} = 0 THEN 0 ELSE 1 + CAST(floor(log2({rest} + 0.5e0)) AS INT) END"
        return f"CAST({register} AS INT)", f"CAST({RANK_BITS + 1} - ({length}) AS INT)"

    def finish(groups: Groups) -> pa.Array:
        ranks = groups.value.astype(np.int64)
        return pa.array(np.rint(estimate(groups.count, groups.group, ranks, precision)).astype(np.int64))

    register, rank = pa.field(f"{name}__register", pa.int32()), pa.field(f"{name}__rank", pa.int32())
    return Kept(argument, (), Sketch(register, rank, "max", None, sql), finish)


@numba.njit(cache=True, nogil=True)
def estimate(count: int, group: np.ndarray, rank: np.ndarray, precision: int) -> np.ndarray:  # pragma: no cover
    """float64 estimates per group from the registers that are not empty, sorted by group (Ertl 2017, algorithm 6)."""
    registers = 1 << precision
    answers = np.zeros(count, np.float64)
    held = np.zeros(RANK_BITS + 2, np.int64)
    row = 0
    while row < len(group):
        number = group[row]
        held[:] = 0
        while row < len(group) and group[row] == number:
            held[rank[row]] += 1
            row += 1
        held[0] = registers - held.sum()
        total = registers * _tau(1.0 - held[RANK_BITS + 1] / registers)
        for place in range(RANK_BITS, 0, -1):
            total = 0.5 * (total + held[place])
        total += registers * _sigma(held[0] / registers)
        answers[number] = registers * registers / (2.0 * math.log(2.0) * total)
    return answers


@numba.njit(cache=True, nogil=True)
def _sigma(x: float) -> float:  # pragma: no cover
    """``x + sum over k >= 1 of x**(2**k) * 2**(k - 1)``: what empty registers tell."""
    if x == 1.0:
        return np.inf
    weight, total, before = 1.0, x, -1.0
    while total != before:
        x *= x
        before = total
        total += x * weight
        weight += weight
    return total


@numba.njit(cache=True, nogil=True)
def _tau(x: float) -> float:  # pragma: no cover
    """``(1 - x - sum over k >= 1 of (1 - x**(2**-k))**2 * 2**-k) / 3``: what full registers tell."""
    if x == 0.0 or x == 1.0:
        return 0.0
    weight, total, before = 1.0, 1.0 - x, -1.0
    while total != before:
        x = math.sqrt(x)
        before = total
        weight *= 0.5
        total -= (1.0 - x) ** 2 * weight
    return total / 3.0


def _text_sql(dialect: str, value: str, argument: pa.DataType) -> str:
    if pa.types.is_string(argument):
        return value
    if pa.types.is_timestamp(argument):
        value = f"epoch_us({value})" if dialect == "duckdb" else f"unix_micros({value})"
    elif pa.types.is_date(argument):
        value = f"({value} - DATE '1970-01-01')" if dialect == "duckdb" else f"unix_date({value})"
    return f"CAST({value} AS {'VARCHAR' if dialect == 'duckdb' else 'STRING'})"


def _hash_sql(dialect: str, text: str) -> str:
    """The first 60 bits of the text's MD5 as a BIGINT."""
    digits = f"substr(md5({text}), 1, {(REGISTER_BITS + RANK_BITS) // 4})"
    return f"CAST('0x' || {digits} AS BIGINT)" if dialect == "duckdb" else f"CAST(conv({digits}, 16, 10) AS BIGINT)"
