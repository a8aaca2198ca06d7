"""Flights-like rows: 16 carriers of unequal size, 3 origins, a year of times, skewed delays, tail numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20131
CARRIERS, ORIGINS, TAILS = 16, 3, 4_000
ROW_GROUP = 1_000_000
YEAR_US = 365 * 86_400_000_000
START_US = 1_356_998_400_000_000  # 2013-01-01T00:00:00Z

SCHEMA = pa.schema(
    {
        "carrier": pa.string(),
        "origin": pa.string(),
        "ts": pa.timestamp("us", tz="UTC"),
        "tail": pa.string(),
        "distance": pa.int64(),
        "dep_delay": pa.float64(),  # minutes, one in forty is null
    }
)


def write(path: Path, rows: int) -> Path:
    """Write the Parquet file unless it is there; the same rows every time."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(SEED)
    carriers = pa.array([f"C{number:X}" for number in range(CARRIERS)])
    origins = pa.array(["EWR", "JFK", "LGA"])
    tails = pa.array([f"N{number:05d}" for number in range(TAILS)])
    share = np.geomspace(1, 0.02, CARRIERS)
    temporary = path.with_suffix(".part")
    with pq.ParquetWriter(temporary, SCHEMA) as writer:
        for low in range(0, rows, ROW_GROUP):
            count = min(ROW_GROUP, rows - low)
            delay = random.gamma(0.6, 30.0, count) - 8.0
            table = pa.table(
                [
                    carriers.take(pa.array(random.choice(CARRIERS, count, p=share / share.sum()))),
                    origins.take(pa.array(random.integers(0, ORIGINS, count))),
                    pa.array(START_US + random.integers(0, YEAR_US, count), pa.timestamp("us", tz="UTC")),
                    tails.take(pa.array(np.minimum(random.zipf(1.3, count) - 1, TAILS - 1))),
                    pa.array(random.integers(80, 5000, count)),
                    pa.array(delay, mask=random.random(count) < 0.025),
                ],
                schema=SCHEMA,
            )
            writer.write_table(table)
    temporary.rename(path)
    return path
