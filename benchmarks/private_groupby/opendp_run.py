"""The peer OpenDP, by its Polars context: ``opendp_run.py DATA ANSWER NOTE``.

Its ``keep="first"`` keeps each user's first groups by key, and not a random choice: ``keep="sample"`` fails in this
version. Bounds, epsilon and delta are those of Mercury's contender.
"""

from __future__ import annotations

import opendp.prelude as dp
import polars as pl

from benchmarks.private_groupby.data import MAX_GROUPS, MAX_ROWS, MOST_CENTS
from benchmarks.work import arguments, work

dp.enable_features("contrib")


def main() -> None:
    """Compute and write ``shop``, ``n``, ``cents``."""
    data, answer, note = arguments()
    context = dp.Context.compositor(
        data=pl.scan_parquet(data),
        privacy_unit=dp.unit_of(contributions=1, identifier=pl.col("user")),
        privacy_loss=dp.loss_of(epsilon=1.0, delta=1e-8),
        split_evenly_over=1,
        margins=[dp.polars.Margin(by=["shop"], max_length=50_000_000)],
    )
    query = (
        context.query()
        .truncate_per_group(MAX_ROWS, by=["shop"], keep="first")
        .truncate_num_groups(MAX_GROUPS, by=["shop"], keep="first")
        .group_by("shop")
        .agg(dp.len(), pl.col("cents").fill_null(0).dp.sum((0, MOST_CENTS)))
    )
    with work(note):
        table = query.release().collect()
    table.rename({"len": "n"}).write_parquet(answer)


if __name__ == "__main__":
    main()
