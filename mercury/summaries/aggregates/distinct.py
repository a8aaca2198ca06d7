"""Distinct counts: exact, with the value as one more group column, or by HyperLogLog as (group, register) to rank.

Source: Flajolet, Fusy, Gandouet and Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation
algorithm", 2007, with linear counting for small counts; its standard error is ``1.04 / sqrt(2**precision)``.

The hash is MD5 of the value's text, since every engine has it: the first 20 bits choose the register, the 40 bits after
them give the rank. Forty bits are enough for 2**40 distinct values per register.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.definitions import CountDistinct
from mercury.errors import SchemaError
from mercury.summaries.aggregates.base import Groups, Kept, Sketch

RANK_BITS = 40


def keep_distinct(name: str, aggregate: CountDistinct, argument: pa.DataType) -> Kept:
    """int64; 0 where there was no value."""
    return _exact(argument) if aggregate.exact else _approximate(name, aggregate, argument)


def value_counts(argument: pa.DataType) -> Sketch:
    """The sketch of all values with how often each came: (group, value) to count."""

    def cells(values: pa.Array) -> tuple[pa.Array, pa.Array]:
        return values, pa.array(np.ones(len(values), np.int64))

    return Sketch(
        pa.field("value", argument), pa.field("count", pa.int64()), "sum", cells, lambda _, value: (value, "1")
    )


def _exact(argument: pa.DataType) -> Kept:
    def finish(groups: Groups) -> pa.Array:
        return pa.array(np.bincount(groups.group, minlength=groups.count).astype(np.int64))

    return Kept(argument, (), value_counts(argument), finish)


def _approximate(name: str, aggregate: CountDistinct, argument: pa.DataType) -> Kept:
    if pa.types.is_floating(argument):
        raise SchemaError(
            f"approximate CountDistinct {name!r} is of a float",
            fix="Engines write floats differently: cast it to bigint or text, or use exact=True",
        )
    precision = aggregate.precision

    def cells(values: pa.Array) -> tuple[pa.Array, pa.Array]:
        register = np.empty(len(values), np.int32)
        rank = np.empty(len(values), np.int32)
        for place, text in enumerate(_texts(values)):
            bits = int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8], "big") >> 4
            register[place] = bits >> (RANK_BITS + 20 - precision)
            rank[place] = RANK_BITS + 1 - (bits & ((1 << RANK_BITS) - 1)).bit_length()
        return pa.array(register), pa.array(rank)

    def sql(dialect: str, value: str) -> tuple[str, str]:
        number = _hex_number_duckdb if dialect == "duckdb" else _hex_number_spark
        digest = f"md5({_text_sql(dialect, value, argument)})"
        register = f"CAST({number(f'substr({digest}, 1, 5)')} / {1 << (20 - precision)} AS INT)"
        if dialect == "duckdb":
            register = f"CAST({number(f'substr({digest}, 1, 5)')} // {1 << (20 - precision)} AS INT)"
        low = number(f"substr({digest}, 6, 10)")
        rank = f"CAST(CASE WHEN {low} = 0 THEN {RANK_BITS + 1} ELSE {RANK_BITS + 1} - length(bin({low})) END AS INT)"
        return register, rank

    def finish(groups: Groups) -> pa.Array:
        return pa.array(estimate(groups.count, groups.group, groups.value, precision))

    sketch = Sketch(pa.field("register", pa.int32()), pa.field("rank", pa.int32()), "max", cells, sql)
    return Kept(argument, (), sketch, finish)


def estimate(count: int, group: np.ndarray, rank: np.ndarray, precision: int) -> np.ndarray:
    """int64 estimates from the registers that are not empty."""
    registers = 1 << precision
    alpha = {16: 0.673, 32: 0.697, 64: 0.709}.get(registers, 0.7213 / (1 + 1.079 / registers))
    filled = np.bincount(group, minlength=count)
    harmonic = np.bincount(group, weights=np.exp2(-rank.astype(np.float64)), minlength=count) + (registers - filled)
    raw = alpha * registers * registers / harmonic
    empty = registers - filled
    small = (raw <= 2.5 * registers) & (empty > 0)
    linear = registers * np.log(registers / np.maximum(empty, 1))
    return np.rint(np.where(small, linear, raw)).astype(np.int64)


def _texts(values: pa.Array) -> list[str]:
    if pa.types.is_string(values.type):
        return list(values.to_pylist())
    if pa.types.is_boolean(values.type):
        return ["true" if value else "false" for value in values.to_pylist()]
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    elif pa.types.is_date(values.type):
        values = values.cast(pa.int32())
    return list(pc.cast(values, pa.string()).to_pylist())


def _text_sql(dialect: str, value: str, argument: pa.DataType) -> str:
    text = "VARCHAR" if dialect == "duckdb" else "STRING"
    if pa.types.is_string(argument):
        return value
    if pa.types.is_timestamp(argument):
        value = f"epoch_us({value})" if dialect == "duckdb" else f"unix_micros({value})"
    elif pa.types.is_date(argument):
        value = f"({value} - DATE '1970-01-01')" if dialect == "duckdb" else f"unix_date({value})"
    return f"CAST({value} AS {text})"


def _hex_number_duckdb(digits: str) -> str:
    return f"CAST('0x' || {digits} AS BIGINT)"


def _hex_number_spark(digits: str) -> str:
    return f"CAST(conv({digits}, 16, 10) AS BIGINT)"
