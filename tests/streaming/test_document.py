"""The page on streaming: its example gives what it shows, and its tables name what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from mercury.cli import cli
from mercury.streaming import STREAM_METRICS, Limits
from mercury.streaming.sinks.delta import COMPACT_EVERY, KEEP_VERSIONS, RETAIN, VACUUM_EVERY
from tests.streaming import batch_twin as twin

PAGE = (Path(__file__).parents[2] / "docs" / "streaming.md").read_text()
EXAMPLE = PAGE[PAGE.index("## A stream, from file to tables") : PAGE.index("## From Kafka")]
SECONDS = re.compile(r'("seconds": |seconds +)[\d.]+')


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example's files, in the current folder."""
    (tmp_path / "mercury_project.py").write_text(blocks(EXAMPLE, "python")[0])
    (tmp_path / "trips.odcs.yaml").write_text(blocks(EXAMPLE, "yaml")[0])
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "0.ndjson").write_text(blocks(EXAMPLE, "json")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_says_what_the_page_shows(project: Path) -> None:
    shown = [block.split("\n", 1) for block in blocks(EXAMPLE, "console")]

    for command, output in shown:
        program, *arguments = shlex.split(command.removeprefix("$ "))
        assert program == "mercury"
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert SECONDS.sub(r"\1", result.stdout) == SECONDS.sub(r"\1", output), command
    assert len(shown) == 3

    lake = project / ".mercury" / "lake"
    columns = {
        "streams/trips/rows": ["_partition", "_offset"],
        "streams/trips/late": ["_late_by_us"],
        "streams/trips/dead_letters": [
            *("topic", "partition", "offset", "timestamp", "key", "value", "kind", "reason"),
        ],
        "windows/hourly": ["window_start", "window_end"],
    }
    for name, expected in columns.items():
        assert f"`{name}`" in EXAMPLE
        assert set(expected) <= set(twin.read(str(lake / name))[0])
    for row in twin.read(str(lake / "streams/trips/dead_letters")):
        assert f"`{row['reason']}`" in EXAMPLE


def test_every_metric_is_in_the_page() -> None:
    for metric in STREAM_METRICS:
        assert metric.name.removeprefix("mercury_stream") in PAGE, metric.name


def test_the_figures_of_the_page_are_the_defaults() -> None:
    upkeep = PAGE[PAGE.index("### Upkeep") : PAGE.index("### Retention")]
    assert (COMPACT_EVERY, KEEP_VERSIONS, VACUUM_EVERY, RETAIN) == (100, 5_000, 5_000, "7d")
    assert "every hundred epochs" in upkeep and "last 5,000\nversions" in upkeep
    assert "every 5,000 epochs" in upkeep and "seven days" in upkeep
    assert f"{Limits().records:,}" in PAGE and f"{Limits().first_records:,}" in PAGE
