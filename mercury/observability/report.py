"""A monitor's findings for people: lines for the terminal, and one page of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from mercury import charts
from mercury.observability.results import MonitorReport, WindowReport
from mercury.time import format_duration, to_iso

STATISTICS_SHOWN = ("ks", "psi", "l_infinity", "missing", "unseen")


def lines(report: MonitorReport) -> list[str]:
    """The state in a few lines: alarms, quality, labels, skew, and what the promise rests on."""
    state = "in alarm" if report.windows and report.windows[-1].alarm else "no alarm"
    out = [f"{report.monitor}: {state}; {len(report.windows)} windows from {to_iso(report.learned)}"]
    for alarm in report.alarms:
        until = "still" if alarm.ended is None else f"until {to_iso(alarm.ended)}"
        out.append(f"  alarm raised {to_iso(alarm.raised)}, {until}: {', '.join(alarm.columns)}")
        first = next(window for window in report.windows if window.start == alarm.start)
        out += [f"    {_changed(first, name)}" for name in first.columns]
    if report.windows:
        last = report.windows[-1]
        out.append(
            f"  evidence {last.evidence:,.3g} of {report.run_length:,.0f} in the window from {to_iso(last.start)}, "
            f"{last.rows:,} predictions"
        )
    out += _quality_lines(report)
    if report.skew is not None:
        out.append(f"  skew: {report.skew.differing:,} values of {report.skew.rows:,} served rows differ from the join")
    return out + [f"  note: {note}" for note in report.notes]


def page(report: MonitorReport) -> str:
    """The page: evidence with the alarms marked, quality, what changed, skew, assumptions."""
    windows = report.windows
    if not windows:
        text = charts.section("No window has closed yet", text=" ".join(report.notes))
        return charts.page(f"Monitor {report.monitor}", [text])
    parts = [_evidence_section(report)]
    if any(window.realised or window.estimated for window in windows):
        parts.append(_quality_section(report))
    parts.append(_columns_section(report))
    if report.skew is not None:
        rows = [
            [name, f"{feature.differing:,}", f"{feature.distance:.4f}"]
            for name, feature in report.skew.features.items()
        ]
        table = charts.table(["Feature", "Rows that differ", "Distance"], rows)
        text = "Features as they were served, against the point-in-time join of the same rows."
        parts.append(charts.section("Training-serving skew", table, number=f"{report.skew.differing:,}", caption=text))
    parts.append(charts.section("What the promise rests on", text=" ".join([report.assumption, *report.notes])))
    lead = (
        f"{len(windows)} windows of {report.model} since {to_iso(report.learned)}. While nothing changes, an alarm is "
        f"raised by chance once in {report.run_length:,.0f} windows or less often."
    )
    return charts.page(f"Monitor {report.monitor}", parts, lead=lead)


def _evidence_section(report: MonitorReport) -> str:
    days = [_when(window.start) for window in report.windows]
    log = [min(1.0, window.evidence / report.run_length) for window in report.windows]
    marks = [charts.Mark(_when(alarm.start), "alarm") for alarm in report.alarms]
    drawn = charts.chart(
        [charts.Series("evidence / run length", days, log)], title="Evidence of a change", y="alarm at 1", marks=marks
    )
    named = [
        [to_iso(alarm.raised), "still" if alarm.ended is None else to_iso(alarm.ended), ", ".join(alarm.columns)]
        for alarm in report.alarms
    ]
    table = charts.table(["Raised", "Ended", "Values"], named) if named else ""
    caption = "alarms" if len(named) != 1 else "alarm"
    return charts.section("Alarms", drawn, table, number=str(len(named)), caption=caption)


def _quality_section(report: MonitorReport) -> str:
    days = [_when(window.start) for window in report.windows]

    def figures(source: str, name: str) -> list[float | None]:
        found: list[Mapping[str, float | None] | None] = [getattr(window, source) for window in report.windows]
        return [None if each is None else each.get(name) for each in found]

    drawn = []
    for metric in ("auc", "accuracy"):
        series = [
            charts.Series(source, days, figures(source, metric))
            for source in ("realised", "estimated")
            if any(value is not None for value in figures(source, metric))
        ]
        if series:
            drawn.append(
                charts.chart(series, title=metric.upper() if metric == "auc" else metric.capitalize(), y=metric)
            )
    known = sum(int(window.labels["known"]) for window in report.windows)
    asked = sum(window.rows for window in report.windows)
    text = "By the labels that have come, and estimated from the scores alone (CBPE)."
    return charts.section(
        "Quality", *drawn, number=f"{known:,} of {asked:,}", caption="predictions have their label", text=text
    )


def _columns_section(report: MonitorReport) -> str:
    alarmed = [window for window in report.windows if window.alarm]
    window = alarmed[0] if alarmed else report.windows[-1]
    ordered = sorted(window.per_column.items(), key=lambda item: -item[1].evidence)
    rows = []
    for name, column in ordered:
        figures = [column.statistics[each].value for each in STATISTICS_SHOWN]
        rows.append(
            [name, f"{column.evidence:,.3g}", *("–" if value is None else f"{value:.3f}" for value in figures),
             _changed(window, name)]
        )  # fmt: skip
    table = charts.table(["Value", "Evidence", *STATISTICS_SHOWN, "What changed most"], rows)
    title = "The first window in alarm" if alarmed else "The last window"
    text = f"From {to_iso(window.start)}, {format_duration(window.end - window.start)}."
    return charts.section(title, table, text=text)


def _changed(window: WindowReport, name: str) -> str:
    changed = window.per_column[name].changed
    if changed is None:
        return f"{name}: nothing was seen"
    what, then, now = changed
    return f"{name}: {what} from {then:.1%} to {now:.1%}"


def _quality_lines(report: MonitorReport) -> list[str]:
    judged = [window for window in report.windows if window.realised is not None]
    out = []
    if judged:
        known = sum(int(window.labels["known"]) for window in report.windows)
        asked = sum(window.rows for window in report.windows)
        out.append(f"  labels: {known:,} of {asked:,} predictions have theirs")
        for source in ("realised", "estimated"):
            found = getattr(judged[-1], source)
            if found is not None:
                text = ", ".join(f"{name} {found[name]:.3f}" for name in ("auc", "accuracy") if found[name] is not None)
                out.append(f"  {source} in the last window with labels: {text}")
    return out


def _when(instant: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)
