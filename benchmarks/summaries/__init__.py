"""Summaries against raw DuckDB and polars."""
