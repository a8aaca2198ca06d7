"""A report as SARIF 2.1.0, which code hosts show beside the line of the contract that was broken."""

from __future__ import annotations

import json
from typing import Any

from mercury.quality.results import Report, Result, Verdict

_LEVELS = {Verdict.FAIL: "error", Verdict.ERROR: "error", Verdict.WARN: "warning", Verdict.NOT_EVALUATED: "note"}


def render(report: Report) -> str:
    """JSON text: a rule per check, a result per check, at the line of the contract."""
    log = {
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [
            {
                "tool": {"driver": {"name": "mercury quality", "rules": [_rule(result) for result in report.results]}},
                "results": [_result(number, result, report) for number, result in enumerate(report.results)],
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _rule(result: Result) -> dict[str, Any]:
    text = result.description or result.check
    return {"id": f"{result.kind}/{result.check}", "shortDescription": {"text": text}}


def _result(number: int, result: Result, report: Report) -> dict[str, Any]:
    level = _LEVELS.get(result.verdict, "none")
    location = {
        "physicalLocation": {
            "artifactLocation": {"uri": report.contract},
            "region": {"startLine": max(1, result.line)},
        }
    }
    kinds = {"error": "fail", "warning": "fail", "note": "notApplicable", "none": "pass"}
    return {
        "ruleId": f"{result.kind}/{result.check}",
        "ruleIndex": number,
        "level": level if level in ("error", "warning") else "none",
        "kind": kinds[level],
        "message": {"text": f"{result.check}: {result.message}"},
        "locations": [location],
    }
