"""A SQL expression over one row, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import pyarrow as pa

from mercury.errors import ExpressionError, did_you_mean
from mercury.expressions.binding import Term, bind
from mercury.expressions.duckdb_sql import DuckDB
from mercury.expressions.rendering import Renderer
from mercury.expressions.spark_sql import Spark
from mercury.expressions.syntax import Node, parse
from mercury.expressions.types import ARROW

Dialect = Literal["duckdb", "spark"]

_RENDERERS: dict[str, Renderer] = {"duckdb": DuckDB(), "spark": Spark()}


@dataclass(frozen=True)
class Expression:
    """An expression that is known to parse and to use allowed operations only. Equal texts are equal expressions.

    >>> late = Expression.parse("dep_delay > 15")
    >>> sorted(late.columns)
    ['dep_delay']
    >>> late.check(pa.schema({"dep_delay": pa.float64()}))
    DataType(bool)
    """

    text: str
    _root: Node = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Expression:
        """The expression in a text; `ExpressionError` with an excerpt and a caret when it is not one.

        A text is parsed once in a process, however often it is asked for.
        """
        return _parse(text)

    @property
    def tree(self) -> Node:
        """Its syntax tree, for those who decide by it, such as the pruning of files; it is read-only."""
        return self._root

    @property
    def columns(self) -> frozenset[str]:
        """Names of the columns that it reads."""
        return _columns(self)

    def check(self, schema: pa.Schema) -> pa.DataType:
        """The Arrow type of the result over rows of `schema`: int64, float64, bool, string, date32 or timestamp.

        Raises `ExpressionError`, with a caret, for an unknown column and for operands of types that do not fit.
        """
        return ARROW[_bind(self, schema).kind]

    def check_condition(self, schema: pa.Schema) -> None:
        """Raise `ExpressionError` unless this is a condition over rows of `schema`."""
        type_ = self.check(schema)
        if not pa.types.is_boolean(type_) and not pa.types.is_null(type_):
            raise ExpressionError(
                f"{self.text!r} is of type {type_}, not a condition", fix="Compare it, as in 'dep_delay > 15'"
            )

    def sql(self, dialect: Dialect, schema: pa.Schema | None = None) -> str:
        """SQL of the expression, in parentheses where it needs them, for columns by their own names.

        With the schema of the rows the result is equal on every engine. Without it columns are computed with in the
        type that the engine finds, and what depends on their types (casts, abs, round, floor, ceil, trunc) raises
        `ExpressionError`.
        """
        return _render(self, dialect, schema)

    def __reduce__(self) -> tuple[object, ...]:
        return _parse, (self.text,)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Expression:
    return Expression(text, parse(text))


@lru_cache(maxsize=4096)
def _columns(expression: Expression) -> frozenset[str]:
    return frozenset(str(node.value) for node in expression._root.walk() if node.op == "column")


@lru_cache(maxsize=4096)
def _bind(expression: Expression, schema: pa.Schema | None) -> Term:
    return bind(expression.text, expression._root, schema)


@lru_cache(maxsize=4096)
def _render(expression: Expression, dialect: str, schema: pa.Schema | None) -> str:
    if dialect not in _RENDERERS:
        raise ExpressionError(f"{dialect!r} is not a dialect", fix=did_you_mean(str(dialect), _RENDERERS))
    return _RENDERERS[dialect].value(_bind(expression, schema))
