"""The results of a check run as the assertions of OpenLineage's facet ``dataQualityAssertions``."""

from __future__ import annotations

from typing import Any

from mercury.quality.results import Report, Result, Verdict


def assertions(report: Report) -> list[dict[str, Any]]:
    """The facet's ``assertions``: one per result that was evaluated, and an error is not a success."""
    return [_assertion(result) for result in report.results if result.verdict is not Verdict.NOT_EVALUATED]


def _assertion(result: Result) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "assertion": result.kind,
        "name": result.check,
        "success": result.verdict is Verdict.PASS,
        "severity": result.severity,
        "expected": result.threshold,
    }
    if len(result.columns) == 1:
        entry["column"] = result.columns[0]
    if result.value is not None:
        entry["actual"] = str(result.value)
    return entry
