"""The peer statsforecast: ``statsforecast_run.py WORK DATA ANSWER NOTE``.

WORK names one of its models, several with ``+`` for their mean, and may end in ``-native`` for the model's own
intervals or ``-conformal`` for those of two windows.
"""

from __future__ import annotations

import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import AutoCES, AutoETS, DynamicOptimizedTheta, SeasonalNaive
from statsforecast.utils import ConformalIntervals

from benchmarks.forecast.data import HORIZON
from benchmarks.work import arguments, work

MODELS = {"Naive": SeasonalNaive, "DOT": DynamicOptimizedTheta, "CES": AutoCES, "AutoETS": AutoETS}
LEVELS = [80, 95]
WINDOWS = 2
"""With three, the peer gives up on series of 48 months ("tiny datasets")."""


def main() -> None:
    """Forecast and write ``unique_id``, ``ds``, ``forecast`` and, where asked for, ``lo-80`` to ``hi-95``."""
    task, data, answer, note = arguments()
    names, _, intervals = task.partition("-")
    rows = pd.read_parquet(data)
    place = rows.groupby("unique_id").cumcount(ascending=False)
    known = rows[place >= HORIZON]
    engine = StatsForecast(
        models=[MODELS[name](season_length=12, alias=name) for name in names.split("+")], freq="MS", n_jobs=1
    )
    options: dict[str, object] = {"level": LEVELS} if intervals else {}
    if intervals == "conformal":
        options["prediction_intervals"] = ConformalIntervals(h=HORIZON, n_windows=WINDOWS)
    engine.forecast(df=known[known["unique_id"] == known["unique_id"].iloc[0]], h=HORIZON, **options)
    with work(note):
        made = engine.forecast(df=known, h=HORIZON, **options)
        made["forecast"] = made[names.split("+")].mean(axis=1)
    bounds = {f"{names}-{end}-{level}": f"{end}-{level}" for level in LEVELS for end in ("lo", "hi")}
    made = made.rename(columns=bounds).reset_index(drop="unique_id" in made.columns)
    made[[name for name in made if name in ("unique_id", "ds", "forecast", *bounds.values())]].to_parquet(answer)


if __name__ == "__main__":
    main()
