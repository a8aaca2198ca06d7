"""A report as one HTML file that needs nothing else: inline CSS and SVG, light and dark, readable on paper."""

from __future__ import annotations

from html import escape
from importlib import resources

from mercury.quality.results import Report, Result, Sample, Verdict

_WORDS = {
    Verdict.PASS: "passed",
    Verdict.WARN: "warning",
    Verdict.FAIL: "failed",
    Verdict.ERROR: "error",
    Verdict.NOT_EVALUATED: "not evaluated",
}
_SIGNS = {
    Verdict.PASS: "✓",
    Verdict.WARN: "!",
    Verdict.FAIL: "✗",
    Verdict.ERROR: "⚠",
    Verdict.NOT_EVALUATED: "–",
}
_ORDER = (Verdict.FAIL, Verdict.ERROR, Verdict.WARN, Verdict.NOT_EVALUATED, Verdict.PASS)
_HEADLINES = {
    Verdict.PASS: "The data keeps its contract",
    Verdict.WARN: "The data keeps its contract, with warnings",
    Verdict.FAIL: "The data breaks its contract",
    Verdict.ERROR: "Some checks could not be computed",
    Verdict.NOT_EVALUATED: "Nothing could be evaluated",
}


def render(report: Report) -> str:
    """The page."""
    style = resources.files("mercury.quality.report").joinpath("report.css").read_text(encoding="utf-8")
    title = f"{report.contract_id}: {_WORDS[report.verdict]}"
    body = "\n".join([_header(report), _facts(report), _dimensions(report), *_sections(report), _footer(report)])
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{escape(title)}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _header(report: Report) -> str:
    verdict = report.verdict
    return (
        f'<header class="{verdict.value}"><p class="mark" aria-hidden="true">{_SIGNS[verdict]}</p><div>'
        f"<h1>{_HEADLINES[verdict]}</h1>"
        f"<p>{escape(report.source)} against {escape(report.contract_id)} {escape(report.contract_version)}</p>"
        f"</div></header>\n{_strip(report)}"
    )


def _strip(report: Report) -> str:
    """A bar of all verdicts with its legend."""
    total = max(1, len(report.results))
    x, bars, legend = 0.0, [], []
    for verdict in reversed(_ORDER):
        count = report.counts[verdict]
        if not count:
            continue
        width = 100.0 * count / total
        bars.append(f'<rect class="{verdict.value}" x="{x:.3f}" y="0" width="{width:.3f}" height="4"/>')
        legend.append(f'<li class="{verdict.value}"><b>{count}</b> {_WORDS[verdict]}</li>')
        x += width
    picture = '<svg class="strip" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label="verdicts">'
    return f'{picture}{"".join(bars)}</svg>\n<ul class="legend">{"".join(legend)}</ul>'


def _facts(report: Report) -> str:
    footers = sum(result.evidence == "metadata" for result in report.results)
    version = "" if report.source_version is None else f", version {report.source_version}"
    rows = [
        ("Rows", f"{report.rows:,}"),
        ("Files", f"{len(report.files):,} ({report.source_kind}{version})"),
        ("Checks", f"{len(report.results)}, of which {footers} from file footers without reading data"),
        ("Time", f"{report.seconds:.2f} s on {report.engine}, started {report.started[:19].replace('T', ' ')} UTC"),
        ("Contract", f"{report.contract}, table {report.table}"),
    ]
    if report.unlisted:
        rows.append(("Columns not in the contract", ", ".join(report.unlisted)))
    if report.quarantine:
        bad, path = report.quarantine.get("bad_rows", 0), report.quarantine.get("bad_path", "")
        rows.append(("Quarantine", f"{bad:,} bad rows in {path}"))
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in rows)
    return f'<dl class="facts">{cells}</dl>'


def _dimensions(report: Report) -> str:
    """The share of passed checks per dimension of quality, of those that were evaluated."""
    names = sorted({result.dimension for result in report.results if result.dimension})
    rows = []
    for name in names:
        judged = [r for r in report.results if r.dimension == name and r.verdict is not Verdict.NOT_EVALUATED]
        if not judged:
            continue
        passed = sum(result.verdict is Verdict.PASS for result in judged)
        share = 100.0 * passed / len(judged)
        bar = (
            f'<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="rest" width="100" height="6"/><rect class="pass" width="{share:.2f}" height="6"/></svg>'
        )
        rows.append(f"<tr><th>{escape(name)}</th><td>{bar}</td><td>{passed} of {len(judged)}</td></tr>")
    return f'<section><h2>Dimensions</h2><table class="dimensions">{"".join(rows)}</table></section>' if rows else ""


def _sections(report: Report) -> list[str]:
    sections = []
    for verdict in _ORDER:
        results = [result for result in report.results if result.verdict is verdict]
        if not results:
            continue
        rows = "".join(_row(result, report) for result in results)
        head = "<tr><th>Check</th><th>Found</th><th>Demanded</th><th>Line</th></tr>"
        table = f'<table class="checks"><thead>{head}</thead><tbody>{rows}</tbody></table>'
        title = f"{_WORDS[verdict].capitalize()} ({len(results)})"
        if verdict is Verdict.PASS:
            sections.append(f"<details open><summary><h2>{title}</h2></summary>{table}</details>")
        else:
            sections.append(f"<section><h2>{title}</h2>{table}</section>")
    return sections


def _row(result: Result, report: Report) -> str:
    about = f"<small>{escape(result.description)}</small>" if result.description else ""
    how = {"metadata": "from footers", "schema": "from the schema", "scan": ""}.get(result.evidence, "")
    notes = [how, f"within {100 * result.accuracy:g} %" if result.accuracy else ""]
    note = ", ".join(part for part in notes if part)
    found = escape(result.message) + (f" <small>{note}</small>" if note else "") + _share(result, report)
    return (
        f'<tr class="{result.verdict.value}"><td><span class="dot" aria-hidden="true"></span>'
        f"{escape(result.check)}{about}</td><td>{found}{_samples(result, report)}</td>"
        f"<td>{escape(result.threshold)}</td><td>{result.line or ''}</td></tr>"
    )


def _share(result: Result, report: Report) -> str:
    """The failed share of the rows as a bar, where rows failed."""
    if not result.failed or not report.rows:
        return ""
    width = max(0.5, min(100.0, 100.0 * result.failed / report.rows))
    return (
        f'<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="rest" width="100" height="6"/>'
        f'<rect class="{result.verdict.value}" width="{width:.3f}" height="6"/></svg>'
    )


def _samples(result: Result, report: Report) -> str:
    if not result.sample or result.verdict is Verdict.PASS:
        return ""
    items = "".join(f"<li>{_sample(sample, report)}</li>" for sample in result.sample)
    return f'<ul class="samples">{items}</ul>'


def _sample(sample: Sample, report: Report) -> str:
    plain = sample.to_dict(report.files)
    values = ", ".join(f"{name} = <code>{escape(str(value))}</code>" for name, value in plain["values"].items())
    file = f"{escape(plain['file'])}, " if len(report.files) > 1 else ""
    return f"{file}row {plain['row']:,}: {values}"


def _footer(report: Report) -> str:
    return (
        f"<footer>Contract SHA-256 {escape(report.contract_hash[:16])}…; values of columns that the contract "
        f"classifies as sensitive are redacted. Written by mercury quality.</footer>"
    )
