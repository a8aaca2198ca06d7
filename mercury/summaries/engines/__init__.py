"""Engines of summaries: Arrow in process, DuckDB, Spark."""
