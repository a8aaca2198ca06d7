"""The peer statsforecast: ``statsforecast_run.py MODEL DATA ANSWER NOTE``; MODEL names one of its models."""

from __future__ import annotations

import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import AutoETS, DynamicOptimizedTheta, SeasonalNaive

from benchmarks.forecast.data import HORIZON
from benchmarks.work import arguments, work

MODELS = {"AutoETS": AutoETS, "DynamicOptimizedTheta": DynamicOptimizedTheta, "SeasonalNaive": SeasonalNaive}


def main() -> None:
    """Forecast and write ``unique_id``, ``ds``, ``forecast``."""
    model, data, answer, note = arguments()
    rows = pd.read_parquet(data)
    place = rows.groupby("unique_id").cumcount(ascending=False)
    known = rows[place >= HORIZON]
    engine = StatsForecast(models=[MODELS[model](season_length=12)], freq="MS", n_jobs=1)
    engine.forecast(df=known[known["unique_id"] == "M00000"], h=HORIZON)
    with work(note):
        made = engine.forecast(df=known, h=HORIZON)
    made.rename(columns={model: "forecast"}).reset_index(drop="unique_id" in made.columns).to_parquet(answer)


if __name__ == "__main__":
    main()
