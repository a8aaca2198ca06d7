"""The page on lineage: its code runs and prints what it says, and its event is one that Mercury writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mercury.config import Settings
from tests.runtime_lineage.official import told
from tests.runtime_lineage.shops import run_all

PAGE = (Path(__file__).parents[2] / "docs" / "lineage.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def shape(value: Any) -> Any:
    """The keys of an event at all depths, without those that every facet has."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items() if key not in ("_producer", "_schemaURL")}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__


def test_the_code_that_reads_the_file_prints_what_the_page_shows(shops: Settings) -> None:
    run_all(shops)
    printed = subprocess.run([sys.executable, "-c", blocks("python")[0]], check=True, capture_output=True, text=True)

    def plain(text: str) -> list[str]:
        return re.sub(r"@ [0-9a-f]{12}[.]", "@ HISTORY.", text).splitlines()

    assert plain(printed.stdout) == plain(blocks("text")[0].replace("/home/me/shops", str(shops.project.parent)))


def test_the_event_is_like_those_that_are_written(shops: Settings) -> None:
    run_all(shops)
    (written,) = [
        event for event in told(shops) if (event["job"]["name"], event["eventType"]) == ("sum_up", "COMPLETE")
    ]

    shown = json.loads(blocks("json")[0])
    assert shape(shown) == shape(written)
    assert shown["outputs"][0]["outputFacets"] == {"outputStatistics": {"rowCount": 2}}


def test_own_code_tells_of_itself(shops: Settings) -> None:
    subprocess.run([sys.executable, "-c", blocks("python")[1]], check=True)

    start, complete = told(shops)
    assert [(start["eventType"], start["inputs"]), complete["job"]["name"]] == [("START", []), "import_sales"]
    assert (complete["inputs"][0]["namespace"], complete["inputs"][0]["name"]) == ("https://example.org", "sales.csv")
    assert complete["outputs"][0]["name"] == f"{shops.lake}/tables/sales"
