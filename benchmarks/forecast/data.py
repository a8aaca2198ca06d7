"""Monthly series like those of the M competitions: levels of any size, fading trends, seasons, noise, some breaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 1428
HORIZON = 18


def write(path: Path, series: int) -> Path:
    """Write the Parquet file unless it is there: ``unique_id``, ``ds``, ``y``; the last `HORIZON` rows are held out."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(SEED)
    parts = []
    for number in range(series):
        length = int(random.integers(60, 144)) + HORIZON
        t = np.arange(length)
        level = np.exp(random.normal(7, 1))
        growth = random.normal(0, 0.004) * (1 - 0.99**t) / 0.01
        season = random.choice([0.0, 0.05, 0.2]) * np.sin(2 * np.pi * (t / 12 + random.random()))
        shock = np.where(t > random.integers(0, 3 * length), random.normal(0, 0.2), 0.0)
        walk = random.normal(0, random.choice([0.005, 0.02]), length).cumsum()
        noise = random.normal(0, random.choice([0.01, 0.05]), length)
        months = np.datetime64("2000-01", "M") + t
        parts.append(
            pa.table(
                {
                    "unique_id": [f"M{number:05d}"] * length,
                    "ds": pa.array(months.astype("datetime64[us]")),
                    "y": level * np.exp(growth + season + shock + walk + noise),
                }
            )
        )
    pq.write_table(pa.concat_tables(parts), path)
    return path
