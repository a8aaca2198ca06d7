"""Payments of users in shops: users of unequal activity, a thousand shops by Zipf's law, amounts in whole cents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20132
SHOPS = 1_000
ROWS_PER_USER = 20
BATCH = 1_000_000
MAX_GROUPS, MAX_ROWS, MOST_CENTS = 4, 5, 10_000


def write(path: Path, rows: int) -> Path:
    """Write the Parquet file unless it is there: ``user``, ``shop``, ``cents``."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(SEED)
    schema = pa.schema({"user": pa.string(), "shop": pa.string(), "cents": pa.int64()})
    shops = pa.array([f"s{number:03d}" for number in range(SHOPS)])
    users = max(1, rows // ROWS_PER_USER)
    temporary = path.with_suffix(".part")
    with pq.ParquetWriter(temporary, schema) as writer:
        for low in range(0, rows, BATCH):
            count = min(BATCH, rows - low)
            user = (users * random.random(count) ** 2).astype(np.int64)
            table = pa.table(
                [
                    pa.array([f"u{number}" for number in user.tolist()]),
                    shops.take(pa.array(np.minimum(random.zipf(1.2, count) - 1, SHOPS - 1))),
                    pa.array(random.gamma(1.5, 1200, count).astype(np.int64)),
                ],
                schema=schema,
            )
            writer.write_table(table)
    temporary.rename(path)
    return path
