"""Forecasts of a panel of monthly series, beside statsforecast."""
