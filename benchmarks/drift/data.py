"""Two tables of 30 columns of the kinds that features have, six of which have changed; and the exact distances.

Floats are normal, lognormal, with heavy tails, of whole minutes with a twentieth of zeros as delays are, and with
nulls; five columns are integers, five are categories by Zipf's law. Changes are those of faults: values written as 0,
shifted by two minutes, in another unit, lost; categories in another mix, and one that was never seen.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20
NUMBERS = [f"f{place:02}" for place in range(20)] + [f"i{place}" for place in range(5)]
CATEGORIES = [f"c{place}" for place in range(5)]
CHANGED = ("c1", "c3", "f02", "f04", "f07", "f11")
PARTS = 24


def write(folder: Path, rows: int) -> None:
    """Write ``reference.parquet``, ``current.parquet``, ``window.parquet`` (one of 24) and ``distances.json``."""
    random = np.random.default_rng(SEED)
    reference, current = _table(random, rows), _changed(_table(random, rows), random)
    window = current.slice(0, rows // PARTS)
    pq.write_table(reference, folder / "reference.parquet")
    pq.write_table(current, folder / "current.parquet")
    pq.write_table(window, folder / "window.parquet")
    exact = {"current": _distances(reference, current), "window": _distances(reference, window)}
    (folder / "distances.json").write_text(json.dumps(exact, indent=1))


def _table(random: np.random.Generator, rows: int) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for place in range(20):
        kind = place % 5
        if kind == 0:
            values = random.normal(place, 1 + place / 10, rows)
        elif kind == 1:
            values = random.lognormal(place / 10, 1.0, rows)
        elif kind == 2:
            values = np.where(random.random(rows) < 0.05, 0.0, np.round(random.gamma(2.0, 12.0, rows) - 10))
        elif kind == 3:
            values = random.standard_t(2.5, rows) * 10
        else:
            values = random.beta(2.0, 5.0, rows)
        columns[f"f{place:02}"] = pa.array(values, mask=random.random(rows) < 0.02 if kind == 4 else None)
    for place in range(5):
        columns[f"i{place}"] = pa.array(random.poisson(3 * 10**place / 2, rows))
    for place in range(5):
        count = (5, 20, 100, 500, 2000)[place]
        share = 1 / np.arange(1, count + 1)
        drawn = random.choice(count, rows, p=share / share.sum())
        columns[f"c{place}"] = pa.array([f"value {number}" for number in range(count)]).take(pa.array(drawn))
    return pa.table(columns)


def _changed(table: pa.Table, random: np.random.Generator) -> pa.Table:
    rows = table.num_rows
    some = random.random(rows) < 0.1

    def put(table: pa.Table, name: str, values: object) -> pa.Table:
        return table.set_column(table.column_names.index(name), name, values)

    floats = {name: table[name].to_numpy() for name in ("f02", "f04", "f07", "f11")}
    table = put(table, "f02", pa.array(floats["f02"] + 2.0))
    table = put(table, "f04", pa.array(np.nan_to_num(floats["f04"]), mask=some | np.isnan(floats["f04"])))
    table = put(table, "f07", pa.array(np.where(some, 0.0, floats["f07"])))
    table = put(table, "f11", pa.array(floats["f11"] * 1.2))
    mixed = pa.array(np.where(some, "value 3", table["c1"].to_numpy(zero_copy_only=False)))
    unseen = pa.array(np.where(some, "never seen", table["c3"].to_numpy(zero_copy_only=False)))
    return put(put(table, "c1", mixed), "c3", unseen)


def _distances(reference: pa.Table, current: pa.Table) -> dict[str, float]:
    """Of values that are not null: Kolmogorov and Smirnov's of numbers, the greatest change of a category's share."""
    found = {}
    for name in NUMBERS:
        one, other = (np.sort(table[name].drop_null().to_numpy()) for table in (reference, current))
        every = np.union1d(one, other)
        first, second = (np.searchsorted(part, every, side="right") / len(part) for part in (one, other))
        found[name] = float(np.abs(first - second).max())
    for name in CATEGORIES:
        shares = []
        for table in (reference, current):
            counts = table[name].value_counts()
            shares.append(
                dict(
                    zip(counts.field("values").to_pylist(), counts.field("counts").to_numpy() / len(table), strict=True)
                )
            )
        found[name] = max(abs(shares[0].get(value, 0.0) - shares[1].get(value, 0.0)) for value in shares[0] | shares[1])
    return found
