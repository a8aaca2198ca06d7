"""A contract as the callable that judges the batches of a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from mercury.quality.contract import Contract

StreamCheck = Callable[[pa.Table], tuple[pa.BooleanArray, pa.StringArray]]


@dataclass(frozen=True)
class ContractCheck:
    """A contract as a callable that can be sent to another process."""

    contract: Contract

    def __call__(self, batch: pa.Table) -> tuple[pa.BooleanArray, pa.StringArray]:
        verdicts = self.contract.validate(batch)
        return verdicts.good, verdicts.reasons()


def stream_check(contract: Contract) -> StreamCheck:
    """The contract as the callable that a streaming job takes: batch → (mask of good rows, reason or null per row)."""
    return ContractCheck(contract)
