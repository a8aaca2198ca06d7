"""What it costs a served model to keep its predictions."""
