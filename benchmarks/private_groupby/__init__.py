"""Private group-by counts and sums of users, beside OpenDP and exact DuckDB."""
