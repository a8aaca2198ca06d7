"""Business questions from rollups, and from the base table by DuckDB."""
