"""A report as lines for a terminal: what is not a pass first, then a summary."""

from __future__ import annotations

from mercury.quality.results import Report, Result, Sample, Verdict

MARKS = {
    Verdict.PASS: "pass",
    Verdict.WARN: "WARN",
    Verdict.FAIL: "FAIL",
    Verdict.ERROR: "ERROR",
    Verdict.NOT_EVALUATED: "not evaluated",
}

_ORDER = (Verdict.FAIL, Verdict.ERROR, Verdict.WARN, Verdict.NOT_EVALUATED, Verdict.PASS)


def render(report: Report) -> str:
    """The lines, with passes counted but only listed when everything passed is short enough to read."""
    listed = [result for verdict in _ORDER for result in report.results if result.verdict is verdict]
    shown = [result for result in listed if result.verdict is not Verdict.PASS]
    lines = [line for result in shown for line in _lines(result, report)]
    return "\n".join([*lines, *([""] if lines else []), *summary(report)]) + "\n"


def summary(report: Report) -> list[str]:
    """The last lines: how many checks have which verdict, over what, how fast."""
    counts = ", ".join(f"{count} {MARKS[verdict].lower()}" for verdict, count in report.counts.items() if count)
    from_footers = sum(result.evidence == "metadata" for result in report.results)
    footers = f", {from_footers} from file footers alone" if from_footers else ""
    version = f" version {report.source_version}" if report.source_version is not None else ""
    unlisted = [f"columns that the contract does not list: {', '.join(report.unlisted)}"] if report.unlisted else []
    return [
        *unlisted,
        f"{report.source}{version}: {report.rows:,} rows against {report.contract_id} {report.contract_version}",
        f"{len(report.results)} checks: {counts}{footers}; {report.seconds:.2f} s on {report.engine}",
        f"verdict: {MARKS[report.verdict]}",
    ]


def _lines(result: Result, report: Report) -> list[str]:
    place = f"{report.contract}:{result.line}" if result.line else report.contract
    demand = f" (demanded: {result.threshold})" if result.threshold else ""
    head = f"{MARKS[result.verdict]:<13} {result.check}: {result.message}{demand}  [{place}]"
    return [head, *(f"{'':<13}   {_sample(sample, report)}" for sample in result.sample[:3])]


def _sample(sample: Sample, report: Report) -> str:
    values = ", ".join(f"{name}={value!r}" for name, value in sample.values.items())
    many = len(report.files) > 1
    file = f"{report.files[sample.position.file]} " if many else ""
    return f"{file}row {sample.position.row + 1:,}: {values}"
