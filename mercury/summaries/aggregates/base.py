"""How an aggregate is kept: state columns with a merge rule, or a sketch, which is a table of cells with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from mercury.errors import SchemaError

Rule = Literal["sum", "min", "max", "moments", "earliest", "latest"]
"""The closed set of merge rules; `moments`, `earliest` and `latest` take several columns of one aggregate at once."""

TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class StateColumn:
    """One column of state.

    ``part`` says which part of its rule it holds: "value" where the rule has one column; "n", "mean" and "m2" for
    `moments`; "at" and "value" for `earliest` and `latest`. ``of`` is what is taken of a row: its value, or 1 for each
    value that is not null ("count").
    """

    name: str
    type: pa.DataType
    rule: Rule
    part: str = "value"
    of: Literal["value", "count"] = "value"


@dataclass(frozen=True)
class Sketch:
    """A table of cells: group columns, a cell, and a value that merges by `sum` or `max`.

    Parameters
    ----------
    cell, value : their fields.
    rule : how values of the same cell merge.
    cells : the cell of each argument value; None when the Arrow engine shall ask DuckDB for them by ``sql``.
    sql : for a dialect and the SQL of an argument that is not null, SQL of the cell and of the value. The value of a
        sketch that sums is 1, since it counts.
    """

    cell: pa.Field
    value: pa.Field
    rule: Literal["sum", "max"]
    cells: Callable[[pa.Array], pa.Array] | None
    sql: Callable[[str, str], tuple[str, str]]


@dataclass(frozen=True)
class Groups:
    """What `finish` sees: state columns by name, one value per group, and a sketch's cells in order of group and cell.

    ``group`` numbers the group of each cell; groups without a cell do not occur.
    """

    count: int
    scalars: pa.Table
    group: np.ndarray
    cell: pa.Array
    value: np.ndarray


@dataclass(frozen=True)
class Kept:
    """How one aggregate is kept over arguments of one type.

    Parameters
    ----------
    argument : Arrow type that arguments are cast to before anything else.
    scalars : columns in the table of groups.
    sketch : a table of its own, or None.
    finish : state to answers, one per group.
    keeps_nan : whether NaN is a value; else it is left out, as null is.
    """

    argument: pa.DataType
    scalars: tuple[StateColumn, ...]
    sketch: Sketch | None
    finish: Callable[[Groups], pa.Array]
    keeps_nan: bool = False


def number(name: str, kind: str, argument: pa.DataType) -> pa.DataType:
    """int64 for integers and booleans, float64 for floats; `SchemaError` for what is no number."""
    if pa.types.is_integer(argument) or pa.types.is_boolean(argument) or pa.types.is_null(argument):
        return pa.int64()
    if pa.types.is_floating(argument):
        return pa.float64()
    raise SchemaError(f"{kind} {name!r} is of {argument}", fix="Give a number or a condition")
