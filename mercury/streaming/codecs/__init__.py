"""Message values to Arrow rows: one module per format, all with the same interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from mercury.errors import UsageError


@dataclass(frozen=True)
class Decoded:
    """What became of n values.

    ``rows`` holds the good ones in order, ``positions`` their indexes (int64) among the values; ``bad`` the indexes of
    the refused ones in order, ``kinds`` and ``reasons`` why, one each.
    """

    rows: pa.Table
    positions: np.ndarray
    bad: np.ndarray
    kinds: list[str]
    reasons: list[str]


class Codec(Protocol):
    """Decodes values by a schema; every value becomes a row or a refusal with a reason."""

    def decode(self, values: pa.Array) -> Decoded:
        """Rows of a binary array; a null value is refused."""
        ...


def codec(format: str, schema: Mapping[str, str]) -> Codec:
    """The codec of a format named in a source's definition."""
    if format == "json":
        from mercury.streaming.codecs.json import JsonCodec

        return JsonCodec(schema)
    raise UsageError(f"no codec reads the format {format!r}", fix="Formats: json")
