"""Drift reports: Mercury, Evidently, NannyML and scipy."""
