"""Contract formats: one module per format that contracts are read from."""
