"""Mercury's contenders: ``mercury_run.py WORK DATA ANSWER NOTE``; WORK is ``point`` or ``intervals``."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.forecast.data import HORIZON
from benchmarks.work import arguments, work
from mercury.forecasting import forecast, read_panel


def main() -> None:
    """Forecast and write ``unique_id``, ``ds``, ``forecast`` and intervals."""
    kind, data, answer, note = arguments()
    rows = pq.read_table(data)
    few = rows.slice(0, 200)
    forecast(read_panel(few, id="unique_id"), HORIZON)  # the kernels are compiled once for an installation
    with work(note):
        panel = read_panel(rows, id="unique_id")
        known = panel.head(panel.lengths - HORIZON)
        made = forecast(known, HORIZON, folds=0 if kind == "point" else None)
    table = made.table.rename_columns(["unique_id", *made.table.column_names[1:]])
    pq.write_table(table.set_column(1, "ds", table["ds"].cast(pa.timestamp("us"))), answer)


if __name__ == "__main__":
    main()
