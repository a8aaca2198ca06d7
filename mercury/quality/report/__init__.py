"""Reports: one module per format, each a pure function from a `Report` to text."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from mercury.errors import UsageError, did_you_mean
from mercury.quality.results import Report

FORMATS = ("human", "json", "html", "junit", "sarif")


def render(report: Report, form: str) -> str:
    """The report in one of `FORMATS`."""
    if form not in FORMATS:
        raise UsageError(f"there is no report format {form!r}", fix=did_you_mean(form, FORMATS))
    module = import_module(f"mercury.quality.report.{form if form != 'json' else 'plain_json'}")
    writer: Callable[[Report], str] = module.render
    return writer(report)
