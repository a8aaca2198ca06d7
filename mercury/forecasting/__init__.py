"""Forecasts of many series at once, with intervals whose coverage was measured.

panel = read_panel("daily.csv")                 # columns, frequency and series are found; repairs are noted
made = forecast(panel, 14)
made.table                                      # id, ds, forecast, lo-80, hi-80, lo-95, hi-95
made.leaderboard, made.coverage                 # against the seasonal naive; nominal to measured
write_html(made, Path("forecast.html"))          # one page that needs nothing else
"""

from mercury.forecasting.accuracy import mase, owa, smape
from mercury.forecasting.forecasting import Forecast, forecast
from mercury.forecasting.frequency import Frequency
from mercury.forecasting.panel import Panel, make_panel
from mercury.forecasting.reading import read_panel
from mercury.forecasting.report import write_html, write_png

__all__ = [
    "Forecast",
    "Frequency",
    "Panel",
    "forecast",
    "make_panel",
    "mase",
    "owa",
    "read_panel",
    "smape",
    "write_html",
    "write_png",
]
