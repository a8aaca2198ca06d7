"""Rules for one value of one column: range, set, pattern, length, step. Pure Arrow in, a mask out.

A rule is asked about values, not about rows, so that a dictionary-encoded column is judged by its few distinct values.
Nulls never break a rule (as in SQL's CHECK); whether a null may be there at all is the null check's matter. NaN lies in
no range, so it breaks `Range` and `MultipleOf`, and is equal to nothing in a set, unless the set holds NaN.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import SchemaError
from mercury.time import parse_instant

_UNITS_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True)
class Rule(ABC):
    """A condition on the values of one column."""

    column: str

    @abstractmethod
    def broken(self, values: pa.Array) -> np.ndarray | None:
        """Mask (bool, one per value) of the values that break the rule; None when none does. Nulls give False."""

    @abstractmethod
    def text(self) -> str:
        """What the rule demands, to follow the name of the column."""

    def kept_by(self, kind: pa.DataType, low: Any, high: Any) -> bool:
        """Whether the rule holds for certain for all non-null values between two raw footer statistics.

        False means "not known": only a scan can tell.
        """
        return False


@dataclass(frozen=True)
class Range(Rule):
    """Bounds on numbers, dates and times; a bound that is text is ISO 8601 and is read as UTC."""

    low: Any = None
    high: Any = None
    open_low: bool = False
    open_high: bool = False

    def broken(self, values: pa.Array) -> np.ndarray | None:
        if pa.types.is_decimal(values.type):
            return self._broken_decimal(values)
        low, high = self._raw_bounds(values.type)
        if len(values) == values.null_count:
            return None
        numbers = raw_numbers(values)
        bad = np.zeros(len(numbers), dtype=bool)
        if low is not None:
            bad |= ~(numbers > low) if self.open_low else ~(numbers >= low)
        if high is not None:
            bad |= ~(numbers < high) if self.open_high else ~(numbers <= high)
        if values.null_count:
            bad &= valid_mask(values)
        return bad if bad.any() else None

    def text(self) -> str:
        low = None if self.low is None else f"{'>' if self.open_low else '≥'} {self.low}"
        high = None if self.high is None else f"{'<' if self.open_high else '≤'} {self.high}"
        return " and ".join(part for part in (low, high) if part)

    def kept_by(self, kind: pa.DataType, low: Any, high: Any) -> bool:
        # The statistics of floats leave NaN out, and NaN breaks a range: they prove nothing here.
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return False
        least, greatest = self._raw_bounds(kind)
        if least is not None and not (low > least if self.open_low else low >= least):
            return False
        return greatest is None or bool(high < greatest if self.open_high else high <= greatest)

    def _raw_bounds(self, kind: pa.DataType) -> tuple[Any, Any]:
        return (
            _raw_bound(self.low, kind, self.column, upward=not self.open_low),
            _raw_bound(self.high, kind, self.column, upward=self.open_high),
        )

    def _broken_decimal(self, values: pa.Array) -> np.ndarray | None:
        bad = pa.scalar(False)
        if self.low is not None:
            compare = pc.less_equal if self.open_low else pc.less
            bad = pc.or_(bad, compare(values, pa.scalar(Decimal(str(self.low)))))
        if self.high is not None:
            compare = pc.greater_equal if self.open_high else pc.greater
            bad = pc.or_(bad, compare(values, pa.scalar(Decimal(str(self.high)))))
        return _mask(bad) if isinstance(bad, pa.Array) else None


@dataclass(frozen=True)
class OneOf(Rule):
    """Membership in a set of values, or, with ``inside=False``, in none of them."""

    values: tuple[Any, ...] = ()
    inside: bool = True

    def broken(self, values: pa.Array) -> np.ndarray | None:
        if len(values) == values.null_count:
            return None
        try:
            known = pa.array(list(self.values)).cast(values.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise SchemaError(
                f"the values {list(self.values)[:5]} cannot be compared with {values.type}",
                where=f"column {self.column!r}",
                fix="Write values of the column's own type",
            ) from error
        if pa.types.is_floating(values.type):
            # Arrow looks floats up by their bits, and -0.0 equals 0.0: adding 0.0 makes the two alike.
            values, known = pc.add(values, 0.0), pc.add(known, 0.0)
        found = pc.is_in(values, value_set=known)
        bad = pc.invert(found) if self.inside else found
        if values.null_count:
            bad = pc.and_(bad, pc.is_valid(values))
        return _mask(bad)

    def text(self) -> str:
        shown = ", ".join(str(value) for value in self.values[:20])
        more = f", … ({len(self.values)} values)" if len(self.values) > 20 else ""
        return f"{'one of' if self.inside else 'none of'} {shown}{more}"


@dataclass(frozen=True)
class Pattern(Rule):
    """A regular expression (RE2) found anywhere in the text, as in JSON Schema; anchor it with ^ and $."""

    pattern: str = ""

    def broken(self, values: pa.Array) -> np.ndarray | None:
        _need_text(values, self.column, "a pattern")
        return _mask(pc.invert(pc.match_substring_regex(values, self.pattern)))

    def text(self) -> str:
        return f"matches {self.pattern}"


@dataclass(frozen=True)
class Length(Rule):
    """Number of characters (Unicode code points) of text."""

    low: int | None = None
    high: int | None = None

    def broken(self, values: pa.Array) -> np.ndarray | None:
        _need_text(values, self.column, "a length")
        return Range(self.column, self.low, self.high).broken(pc.utf8_length(values))

    def text(self) -> str:
        return f"length {Range(self.column, self.low, self.high).text()}"


@dataclass(frozen=True)
class MultipleOf(Rule):
    """A number that is a whole multiple of the step; of floats within 1e-9 of the quotient."""

    step: int | float = 1

    def broken(self, values: pa.Array) -> np.ndarray | None:
        numbers = raw_numbers(values)
        if numbers.dtype.kind in "iu" and float(self.step).is_integer():
            bad = numbers % int(self.step) != 0
        else:
            with np.errstate(invalid="ignore"):
                quotient = numbers.astype(np.float64) / float(self.step)
                bad = ~(np.abs(quotient - np.rint(quotient)) <= 1e-9 * np.maximum(1.0, np.abs(quotient)))
        if values.null_count:
            bad &= valid_mask(values)
        return bad if bad.any() else None

    def text(self) -> str:
        return f"a multiple of {self.step}"


def raw_numbers(values: pa.Array) -> np.ndarray:
    """The values as numpy numbers: times and dates as their stored integers, nulls as an arbitrary number."""
    kind = values.type
    if (
        pa.types.is_timestamp(kind)
        or pa.types.is_time64(kind)
        or pa.types.is_date64(kind)
        or pa.types.is_duration(kind)
    ):
        values = values.view(pa.int64())
    elif pa.types.is_date32(kind) or pa.types.is_time32(kind):
        values = values.view(pa.int32())
    elif pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    elif pa.types.is_decimal(kind):
        values = values.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise SchemaError(f"{kind} is not a number or a time", fix="Give the rule to a column of numbers or times")
    if values.null_count:
        # fill_null keeps the type; to_numpy with nulls would turn integers into floats.
        values = values.fill_null(0)
    return values.to_numpy(zero_copy_only=False)


def valid_mask(values: pa.Array) -> np.ndarray:
    """Mask of the values that are not null."""
    return pc.is_valid(values).to_numpy(zero_copy_only=False)


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text, dictionary-encoded or not."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def valid_pattern(pattern: str) -> str | None:
    """Why a pattern is not a regular expression that RE2 accepts, or None when it is one."""
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        return str(error)
    return None


def _raw_bound(bound: Any, kind: pa.DataType, column: str, *, upward: bool) -> Any:
    """A bound in the stored unit of a type; one between two units is moved inwards, so that comparisons stay exact."""
    if bound is None:
        return None
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if not isinstance(bound, (str, date)):
            raise SchemaError(f"{bound!r} is not a time", where=f"column {column!r} of {kind}", fix="Write ISO 8601")
        micros = parse_instant(_with_zone(str(bound)))
        seconds = Fraction(micros, 1_000_000)
        if pa.types.is_date32(kind):
            return _rounded(seconds / 86_400, upward)
        return _rounded(seconds * _UNITS_PER_SECOND["ms" if pa.types.is_date64(kind) else kind.unit], upward)
    if isinstance(bound, str) or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise SchemaError(f"{bound!r} cannot bound {kind}", where=f"column {column!r}", fix="Compare like with like")
    if pa.types.is_integer(kind) and isinstance(bound, float) and math.isfinite(bound):
        return _rounded(Fraction(bound), upward)
    return bound


def _rounded(value: Fraction, upward: bool) -> int:
    return math.ceil(value) if upward else math.floor(value)


def _with_zone(text: str) -> str:
    has_time = "T" in text or " " in text
    return text + "Z" if has_time and not text.endswith("Z") and "+" not in text[10:] and "-" not in text[10:] else text


def _need_text(values: pa.Array, column: str, what: str) -> None:
    if not is_text(values.type):
        raise SchemaError(f"{what} needs text, not {values.type}", where=f"column {column!r}", fix="Change the rule")


def _mask(bad: pa.Array) -> np.ndarray | None:
    mask = bad.fill_null(False).to_numpy(zero_copy_only=False)
    return mask if mask.any() else None


__all__: Sequence[str] = [
    "Length",
    "MultipleOf",
    "OneOf",
    "Pattern",
    "Range",
    "Rule",
    "is_text",
    "raw_numbers",
    "valid_mask",
    "valid_pattern",
]
