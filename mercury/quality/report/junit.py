"""A report as JUnit XML, which every CI system reads: the suite is the dataset, a case is a check."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from mercury.quality.results import Report, Result, Verdict

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    """XML text. A warning is a passed case with its message in ``system-out``; not evaluated is ``skipped``."""
    counts = report.counts
    figures = {
        "tests": str(len(report.results)),
        "failures": str(counts[Verdict.FAIL]),
        "errors": str(counts[Verdict.ERROR]),
        "skipped": str(counts[Verdict.NOT_EVALUATED]),
        "time": f"{report.seconds:.3f}",
    }
    root = ElementTree.Element("testsuites", {"name": "mercury quality", **figures})
    suite = ElementTree.SubElement(root, "testsuite", {"name": _text(report.source), **figures})
    suite.set("timestamp", report.started)
    for result in report.results:
        _case(suite, result, report)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, result: Result, report: Report) -> None:
    attributes = {
        "name": _text(result.check),
        "classname": _text(f"{report.contract_id}.{report.table}"),
        "file": _text(report.contract),
        "line": str(result.line),
    }
    case = ElementTree.SubElement(suite, "testcase", attributes)
    message = _text(f"{result.message} (demanded: {result.threshold})" if result.threshold else result.message)
    match result.verdict:
        case Verdict.FAIL:
            element = ElementTree.SubElement(case, "failure", {"message": message, "type": result.kind})
            element.text = _text("\n".join(_rows(result, report)))
        case Verdict.ERROR:
            ElementTree.SubElement(case, "error", {"message": message, "type": result.kind})
        case Verdict.NOT_EVALUATED:
            ElementTree.SubElement(case, "skipped", {"message": message})
        case Verdict.WARN:
            ElementTree.SubElement(case, "system-out").text = f"warning: {message}"


def _rows(result: Result, report: Report) -> list[str]:
    dicts = [sample.to_dict(report.files) for sample in result.sample]
    return [f"{one['file']} row {one['row']}: {one['values']}" for one in dicts]


def _text(text: str) -> str:
    """Text without the control characters that XML has no way to write."""
    return _FORBIDDEN.sub("�", text)
