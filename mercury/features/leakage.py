"""The leakage audit: does a training set know what nobody could have known at prediction time?

Four checks, the strongest first; each needs more than the next:

=================  ===================================================================================================
availability       every joined value's event and created time against the label's time less the embargo, cell by cell
rebuild            the training set against the same one made anew by the point-in-time join
post_event         values that come or change only after the label's time, where the history of the source is known
gain               out-of-time gain in AUC over the trusted columns, with LightGBM, alone and in pairs of suspects
=================  ===================================================================================================

The invariant of the first two is ``feature time <= label time - embargo``. The last finds leaks that carry no times at
all: a column that alone looks honest (AUC 0.66) may add 0.3 to the honest columns, and two harmless columns may give
the label together. Every fit is on a deterministic sample, trains before a cutoff and measures after it; what a column
of noise would gain (the same column permuted) is subtracted from what the column gains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import DataError, SchemaError, did_you_mean
from mercury.features.gain import GainOptions, Gains, conditional_gains
from mercury.features.instants import NULL_INSTANT, Side, instants

Severity = Literal["leak", "warning"]

FLAG_GAIN = 0.1
"""Gain in AUC over the base from which a column is a leak."""

FLAG_AUC = 0.95
"""AUC of a column with the base, or of a pair alone, from which it is a leak."""

WARN_GAIN = 0.03

WARN_AUC = 0.9
"""AUC of all columns together, none of them trusted, from which the set is too good to be believed."""

PAIR_AUC = 0.9
PAIR_ERRORS = 2 / 3
"""A pair is a leak above this AUC, when it leaves less than this part of the errors (1 - AUC) of the better of the two:
one column may be harmless alone and still complete what the other gives away."""

POST_EVENT_SHARE = 0.5
"""Share of rows whose value comes or changes after the label from which a column is a leak; above 0.01 it warns."""

_WARN_SHARE = 0.01

DEFAULT_GAIN = GainOptions()


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one column, with the numbers that show it."""

    column: str
    check: str
    severity: Severity
    message: str
    evidence: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    ``checks`` names the checks that ran and why others did not; ``columns`` those that were looked at.
    """

    findings: tuple[Finding, ...]
    checks: Mapping[str, str]
    columns: tuple[str, ...]
    rows: int

    @property
    def has_leakage(self) -> bool:
        """Whether any finding is a leak; warnings do not count."""
        return any(finding.severity == "leak" for finding in self.findings)

    @property
    def leaking(self) -> list[str]:
        """Columns with a leak, in order of the findings, each once."""
        return list(dict.fromkeys(each.column for each in self.findings if each.severity == "leak"))

    def assert_clean(self) -> None:
        """Raise `DataError` that names the leaking columns, if there are any."""
        if self.has_leakage:
            first = next(finding for finding in self.findings if finding.severity == "leak")
            raise DataError(
                f"{len(self.leaking)} of {len(self.columns)} columns leak: {', '.join(self.leaking)}",
                where=f"check {first.check}",
                fix=f"Leave them out, or join them by their time. {first.column}: {first.message}",
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "has_leakage": self.has_leakage,
            "rows": self.rows,
            "columns": list(self.columns),
            "checks": dict(self.checks),
            "findings": [asdict(finding) for finding in self.findings],
        }


def audit(
    training: pa.Table,
    *,
    label: str,
    event_time: str,
    columns: Sequence[str] | None = None,
    embargo: int | Mapping[str, int] = 0,
    rebuilt: pa.Table | None = None,
    history: History | None = None,
    gain: GainOptions | None = DEFAULT_GAIN,
) -> AuditReport:
    """Look for knowledge of the future in a training set.

    Parameters
    ----------
    training : one row per example. Columns ``<view>__ts`` and ``<view>__created``, as `training_set` adds on request,
        let the first check run; they name the view in its findings.
    label : 0/1 or boolean column.
    event_time : when the prediction is made.
    columns : the features; None: all but label, times, the join's own columns and columns of other types.
    embargo : microseconds that a value must be older than the label; for all views, or by view.
    rebuilt : the same training set made anew by the point-in-time join; rows in the same order.
    history : the source's rows with their created times, for the third check.
    gain : options of the last check, the only costly one; None leaves it out.

    Raises `SchemaError` for columns that do not exist, `DataError` when the label has one class only.
    """
    for name in (label, event_time, *(columns or ())):
        if name not in training.column_names:
            raise SchemaError(f"the training set has no column {name!r}", fix=did_you_mean(name, training.column_names))
    looked_at = tuple(columns) if columns is not None else _feature_columns(training, label, event_time)
    asked = instants(training[event_time], Side.LABEL, name=event_time)
    findings: list[Finding] = []
    checks: dict[str, str] = {}

    views = [name.removesuffix("__ts") for name in training.column_names if name.endswith("__ts")]
    checks["availability"] = f"ran on {len(views)} views" if views else "skipped: no <view>__ts columns"
    for view in views:
        allowed = embargo.get(view, 0) if isinstance(embargo, Mapping) else embargo
        findings += check_availability(training, view, asked, allowed)

    checks["rebuild"] = "ran" if rebuilt is not None else "skipped: no training set to compare with"
    if rebuilt is not None:
        findings += check_rebuild(training, rebuilt, looked_at)

    checks["post_event"] = "ran" if history is not None else "skipped: no history with created times"
    if history is not None:
        findings += check_post_event(history, looked_at)

    checks["gain"] = "skipped" if gain is None else "ran"
    if gain is not None:
        gains = conditional_gains(training, label, asked, looked_at, gain)
        checks["gain"] = f"ran {gains.fits} fits on {gains.rows} rows; base AUC {gains.base_auc:.3f}"
        findings += judge_gains(gains)
    order = {"leak": 0, "warning": 1}
    findings.sort(key=lambda finding: order[finding.severity])
    return AuditReport(tuple(findings), checks, looked_at, training.num_rows)


def check_availability(training: pa.Table, view: str, asked: np.ndarray, embargo: int) -> list[Finding]:
    """Check 1: ``max(event time, created time) <= label time - embargo`` for each row that a view gave a value to."""
    known = instants(training[f"{view}__ts"], Side.FEATURE, name=f"{view}__ts")
    created = f"{view}__created"
    if created in training.column_names:
        known = np.maximum(known, instants(training[created], Side.FEATURE, name=created))
    given = (known != NULL_INSTANT) & (asked != NULL_INSTANT)
    over = (known - (asked - embargo))[given]
    over = over[over > 0]
    if not len(over):
        return []
    share = len(over) / max(1, int(given.sum()))
    return [
        Finding(
            view,
            "availability",
            "leak",
            f"{len(over)} values ({share:.1%}) were known only after the label's time",
            {
                "rows": len(over),
                "share": share,
                "max_seconds": float(over.max()) / 1e6,
                "median_seconds": float(np.median(over)) / 1e6,
            },
        )
    ]


def check_rebuild(training: pa.Table, rebuilt: pa.Table, columns: Sequence[str]) -> list[Finding]:
    """Check 2: cells that differ from what the point-in-time join gives."""
    if training.num_rows != rebuilt.num_rows:
        return [
            Finding(
                "*",
                "rebuild",
                "leak",
                f"the training set has {training.num_rows} rows, the labels {rebuilt.num_rows}",
                {"rows": training.num_rows, "expected": rebuilt.num_rows},
            )
        ]
    findings = []
    for name in columns:
        if name not in rebuilt.column_names:
            continue
        different = _differs(training[name], rebuilt[name])
        if different.any():
            share = float(different.mean())
            findings.append(
                Finding(
                    name,
                    "rebuild",
                    "leak",
                    f"{int(different.sum())} values ({share:.1%}) differ from what was known at the label's time",
                    {"rows": int(different.sum()), "share": share, "first_row": int(np.argmax(different))},
                )
            )
    return findings


@dataclass(frozen=True)
class History:
    """All versions of the examples' own rows: what the source said of each at each time.

    Parameters
    ----------
    rows : one row per version.
    keys : columns that identify an example.
    created_time : when the version was known.
    label_time : column with the time of the prediction, the same in all versions of an example.
    """

    rows: pa.Table
    keys: Sequence[str]
    created_time: str
    label_time: str


def check_post_event(history: History, columns: Sequence[str]) -> list[Finding]:
    """Check 4: share of examples whose value is null, or another, until after the label's time."""
    rows = history.rows
    created = instants(rows[history.created_time], Side.FEATURE, name=history.created_time)
    moment = instants(rows[history.label_time], Side.LABEL, name=history.label_time)
    place = pa.array(np.arange(rows.num_rows))
    ordered = pa.table({**{key: rows[key] for key in history.keys}, "created": created, "place": place})
    ordered = ordered.sort_by([*((key, "ascending") for key in history.keys), ("created", "ascending")])
    order = ordered["place"].to_numpy()
    start = np.zeros(len(order), np.bool_)
    start[:1] = True
    for key in history.keys:
        values = ordered[key].combine_chunks()
        start[1:] |= ~pc.equal(values[1:], values[:-1]).fill_null(False).to_numpy(zero_copy_only=False)
    example = np.cumsum(start) - 1
    count = int(example[-1]) + 1 if len(example) else 0
    late = (created > moment)[order]
    last = np.full(count, -1, np.int64)
    np.maximum.at(last, example, np.arange(len(order)))
    before = np.full(count, -1, np.int64)
    np.maximum.at(before, example[~late], np.flatnonzero(~late))
    findings = []
    for name in columns:
        if name not in rows.column_names:
            continue
        column = rows[name].take(pa.array(order))
        final = column.take(pa.array(last))
        known = column.take(pa.array(np.maximum(before, 0), mask=before < 0))
        usable = pc.is_valid(final).to_numpy()
        if not usable.any():
            continue
        null_before = (pc.is_null(known).to_numpy() & usable).sum() / usable.sum()
        changed = (_differs(known, final) & usable).sum() / usable.sum()
        if changed < _WARN_SHARE:
            continue
        severity: Severity = "leak" if changed >= POST_EVENT_SHARE else "warning"
        findings.append(
            Finding(
                name,
                "post_event",
                severity,
                f"{changed:.1%} of the values came or changed after the label's time",
                {"changed_after": float(changed), "null_before": float(null_before), "examples": int(usable.sum())},
            )
        )
    return findings


def judge_gains(gains: Gains) -> list[Finding]:
    """Check 5: columns, and pairs, that predict the label better out of time than honest ones do.

    Without trusted columns an honest column may well add a little to the others, which is no finding then.
    """
    findings = []
    if not gains.trusted and gains.base_auc > WARN_AUC:
        severity: Severity = "leak" if gains.base_auc > FLAG_AUC else "warning"
        message = f"the columns together reach an AUC of {gains.base_auc:.3f}: name trusted ones to learn which leak"
        findings.append(Finding("*", "gain", severity, message, {"auc": round(gains.base_auc, 4)}))
    for name, each in gains.columns.items():
        excess = each.gain - max(each.null_gain, 0.0)
        evidence: dict[str, float | int | str] = {
            "gain": round(excess, 4),
            "auc": round(each.auc, 4),
            "alone": round(each.alone, 4),
            "null_gain": round(each.null_gain, 4),
        }
        if excess > FLAG_GAIN or each.alone > FLAG_AUC:
            # Without trusted columns to compare with, an honest column may simply be the best one.
            certain = gains.trusted or each.alone > FLAG_AUC
            message = f"adds {excess:+.3f} AUC to the other columns out of time (alone {each.alone:.3f})"
            findings.append(Finding(name, "gain", "leak" if certain else "warning", message, evidence))
        elif excess > WARN_GAIN and gains.trusted:
            message = f"adds {excess:+.3f} AUC to the trusted columns out of time: make sure that it is known by then"
            findings.append(Finding(name, "gain", "warning", message, evidence))
    flagged = {finding.column for finding in findings if finding.severity == "leak"}
    for names, pair in gains.pairs.items():
        if pair.auc <= PAIR_AUC or 1 - pair.auc > PAIR_ERRORS * (1 - pair.better):
            continue
        for name, other in (names, names[::-1]):
            if name not in flagged:
                flagged.add(name)
                message = f"gives the label away together with {other!r} (AUC {pair.auc:.3f}, not {pair.better:.3f})"
                evidence = {"auc": round(pair.auc, 4), "better": round(pair.better, 4), "with": other}
                findings.append(Finding(name, "gain", "leak", message, evidence))
    return findings


def _differs(left: pa.ChunkedArray, right: pa.ChunkedArray) -> np.ndarray:
    if left.type != right.type:
        left = left.cast(right.type)
    equal = pc.equal(left, right)
    if pa.types.is_floating(left.type):
        equal = pc.or_kleene(equal, pc.and_(pc.is_nan(left), pc.is_nan(right)))
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    return ~pc.or_(pc.fill_null(equal, False), both_null).to_numpy()


def _feature_columns(training: pa.Table, label: str, event_time: str) -> tuple[str, ...]:
    def usable(kind: pa.DataType) -> bool:
        return (
            pa.types.is_integer(kind)
            or pa.types.is_floating(kind)
            or pa.types.is_boolean(kind)
            or pa.types.is_string(kind)
            or pa.types.is_large_string(kind)
            or pa.types.is_dictionary(kind)
        )

    return tuple(
        column.name
        for column in training.schema
        if column.name not in (label, event_time)
        and not column.name.endswith(("__ts", "__created"))
        and usable(column.type)
    )
