"""A report as one JSON document (format in `mercury.quality.results.FORMAT`)."""

from __future__ import annotations

import json

from mercury.quality.results import Report


def render(report: Report) -> str:
    """JSON text, indented, UTF-8."""
    return json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
