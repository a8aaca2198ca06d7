"""From feature columns to the numbers that a model sees, the same way in training and in serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import SchemaError, did_you_mean


@dataclass(frozen=True)
class Column:
    """One feature as the model sees it: a number, or a category by its place in ``categories``.

    A category that training did not see, and a null, become NaN, which LightGBM treats as missing.
    """

    name: str
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Encoding:
    """The columns of a model in order; it is stored with the model and applied to whatever the model is asked.

    Text columns become categories (in code point order), numbers and booleans float64, nulls NaN.
    """

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, features: pa.Table) -> Encoding:
        """The encoding that fits a table of features; `SchemaError` for a column that is no number and no text."""
        columns = []
        for field in features.schema:
            if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
                seen = [value for value in pc.unique(features[field.name]).to_pylist() if value is not None]
                columns.append(Column(field.name, tuple(sorted(seen))))
            elif pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_boolean(field.type):
                columns.append(Column(field.name))
            else:
                raise SchemaError(
                    f"feature {field.name!r} has type {field.type}, which no model can read",
                    fix="Make it a number or text with an expression in the feature view",
                )
        return cls(tuple(columns))

    @property
    def names(self) -> list[str]:
        """Column names in the order of the model's inputs."""
        return [column.name for column in self.columns]

    @property
    def categorical(self) -> list[int]:
        """Positions of the columns that are categories."""
        return [place for place, column in enumerate(self.columns) if column.categories is not None]

    def matrix(self, features: pa.Table) -> np.ndarray:
        """float64 of shape (rows, columns); `SchemaError` when a column is missing."""
        out = np.empty((features.num_rows, len(self.columns)))
        for place, column in enumerate(self.columns):
            if column.name not in features.column_names:
                raise SchemaError(
                    f"feature {column.name!r} is missing", fix=did_you_mean(column.name, features.column_names)
                )
            values = features[column.name]
            if column.categories is not None:
                values = pc.index_in(values, value_set=pa.array(column.categories, pa.string()), skip_nulls=True)
            out[:, place] = values.cast(pa.float64()).to_numpy()
        return out

    def vector(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The same as `matrix` for a few rows held as mappings, without building a table (one request)."""
        out = np.full((len(rows), len(self.columns)), np.nan)
        for place, column in enumerate(self.columns):
            known = None if column.categories is None else {name: code for code, name in enumerate(column.categories)}
            for row, values in enumerate(rows):
                value = values.get(column.name)
                if known is not None:
                    value = known.get(value) if isinstance(value, str) else None
                if value is not None:
                    out[row, place] = value
        return out

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, stored in the model's metadata."""
        return {
            "columns": [
                {"name": column.name, "categories": None if column.categories is None else list(column.categories)}
                for column in self.columns
            ]
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Encoding:
        """The encoding that `to_dict` wrote."""
        return cls(
            tuple(
                Column(entry["name"], None if entry["categories"] is None else tuple(entry["categories"]))
                for entry in data["columns"]
            )
        )
