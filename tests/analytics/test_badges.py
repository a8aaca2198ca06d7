"""Badges: which metrics an alarm touches, and what becomes of them when it ends or its report cannot be read."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from mercury import Project
from mercury.analytics.badges import Badge, BadgeReader, badges
from mercury.definitions import BatchTable
from mercury.lake import Lake
from mercury.observability.monitor import write_report
from tests.analytics.reports import SINCE, late, plane, report, watch
from tests.analytics.world import events, model, settings_in

NOTHING = pa.table({})
OF_DELAY = ["delay_sum", "late", "late_rate", "least", "mean_delay", "most", "p90", "score", "spread"]


def test_an_alarm_touches_the_metrics_that_read_its_columns_also_through_others() -> None:
    found = badges(model, {watch: report(False, True, True)})

    assert sorted(found) == OF_DELAY
    assert found["late_rate"] == [Badge("watch", "minutes", SINCE + 86_400_000_000, "= 0 from 5.1% to 14.9%")]
    assert sorted(badges(model, {watch: report(True, named="size")})) == ["seats"]


def test_features_scores_ended_alarms_and_other_sources_give_no_badge() -> None:
    elsewhere = BatchTable("elsewhere", schema=dict(events.schema), event_time="ts")

    assert badges(model, {watch: report(True, named="score")}) == {}
    assert badges(model, {watch: report(True, True, False)}) == {}
    assert badges(model, {watch: report()}) == {}
    assert badges(model, {replace(watch, model=replace(late, labels=elsewhere)): report(True)}) == {}


def test_badges_follow_the_reports_in_the_lake(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    reader = BadgeReader(Project("sky", [events, model, plane, late, watch]), settings)
    assert reader.of(model) == {}

    write_report(watch, settings, report(True), NOTHING)
    assert sorted(reader.of(model)) == OF_DELAY
    write_report(watch, settings, report(True, False), NOTHING)
    assert reader.of(model) == {}


def test_a_report_that_cannot_be_read_gives_no_badge_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_in(tmp_path)
    write_report(watch, settings, report(True), NOTHING)
    (log,) = Path(Lake(settings.lake).alarms("watch"), "_delta_log").glob("*1.json")
    log.write_text("broken")
    reader = BadgeReader(Project("sky", [events, model, plane, late, watch]), settings)

    with caplog.at_level(logging.WARNING):
        assert reader.of(model) == {} and reader.of(model) == {}

    assert [
        record.message.startswith("the last report of Monitor/watch cannot be read") for record in caplog.records
    ] == [True]
