"""The time axis is that of pandas: the grid of every frequency, and what gaps, copies and disorder become on it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mercury.errors import DataError
from mercury.forecasting import forecast, read_panel
from mercury.forecasting.frequency import is_off, parse_frequency

GRIDS = ["s", "15min", "h", "6h", "D", "3D", "B", "W-WED", "MS", "ME", "2MS", "QS", "QE", "6ME", "YS", "YE"]
OURS = {"W-WED": "W", "2MS": "2MS", "6ME": "6ME"}


def micro(times: pd.DatetimeIndex) -> np.ndarray:
    return times.as_unit("us").asi8


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("start", ["1899-06-15", "1969-11-20", "2023-12-30"])
def test_a_grid_goes_on_as_pandas_has_it(grid: str, start: str) -> None:
    times = micro(pd.date_range(start, periods=80, freq=grid))
    frequency = parse_frequency(OURS.get(grid, grid), times[:5])

    steps = frequency.step(times)

    assert np.diff(steps).tolist() == [1] * 79
    assert frequency.time(steps[0] + np.arange(80)).tolist() == times.tolist()
    assert is_off(frequency.step(times + 1)).all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("grid", ["h", "D", "B", "W-WED", "MS", "QE"])
def test_a_dirty_panel_is_what_pandas_makes_of_it(grid: str, seed: int) -> None:
    """Several series of own ends, with a tenth of the rows gone, some values empty, some rows twice, in any order."""
    rng = np.random.default_rng(seed)
    parts = []
    for name in ("b", "a", "c"):
        times = pd.date_range("2019-05-01", periods=int(rng.integers(40, 70)), freq=grid)
        part = pd.DataFrame({"id": name, "ds": times, "y": rng.normal(50, 9, len(times))})
        inner = part.iloc[1:-1]
        part = part.drop(inner.sample(frac=0.1, random_state=seed).index)
        part.loc[part.iloc[1:-1].sample(n=2, random_state=seed).index, "y"] = np.nan
        parts.append(part)
    rows = pd.concat(parts)
    rows = pd.concat([rows, rows.sample(n=5, random_state=seed)]).sample(frac=1, random_state=seed)

    table = pa.Table.from_pandas(rows, preserve_index=False)
    panel = read_panel(table, duplicates="mean", gaps="interpolate")

    assert panel.ids == ("a", "b", "c")
    for number, name in enumerate(panel.ids):
        mine = rows[rows["id"] == name].groupby("ds")["y"].mean().asfreq(grid)
        assert panel.times(number).tolist() == micro(mine.index).tolist()
        assert panel.series(number) == pytest.approx(mine.interpolate().to_numpy())
    made = forecast(panel, 3).table.to_pandas()
    for name, ahead in made.groupby("id"):
        last = rows.loc[rows["id"] == name, "ds"].max()
        wanted = pd.date_range(last, periods=4, freq=grid)[1:]
        assert micro(pd.DatetimeIndex(ahead["ds"])).tolist() == micro(wanted).tolist()
    with pytest.raises(DataError, match="rows repeat a time of their series"):
        read_panel(table)


def test_the_first_points_of_a_panel_are_a_panel_like_it() -> None:
    table = pa.table({"ds": pa.array(np.datetime64("2026-01-01") + np.arange(30)), "y": np.arange(30.0)})
    panel = read_panel(table)

    head = panel.head(panel.lengths - 10)

    assert (head.series(0).tolist(), head.has_ids, head.notes) == ([*range(20)], False, panel.notes)
    assert forecast(head, 1).table.column_names[:2] == ["ds", "forecast"]
