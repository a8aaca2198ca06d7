"""Benchmarks: Mercury and its peers on the same work, side by side in one run. See README.md."""
