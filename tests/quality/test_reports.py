"""Reports in every format: complete, valid, self-contained, and without a value of a sensitive column."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from mercury.errors import UsageError
from mercury.quality import Report, Verdict, exit_code
from mercury.quality.lineage import assertions
from mercury.quality.report import FORMATS, render
from mercury.quality.results import overall
from mercury.quality.run import check
from tests.quality.contracts import contract_of

RULES = """
- name: email
  classification: restricted
  logicalType: string
  required: true
  unique: true
  logicalTypeOptions: {pattern: "@"}
  quality:
    - {type: text, description: "nice <b>names</b>"}
    - {name: first, type: custom, engine: mercury, implementation: {check: mean, mustBe: 1}}
- name: age
  logicalType: integer
  logicalTypeOptions: {minimum: 0}
  quality:
    - {name: some known, metric: nullValues, mustBe: 0, severity: warning}
    - {name: greatest, type: custom, engine: mercury, implementation: {check: max, mustBeLessThan: 100}}
- name: income
  tags: [PII]
  quality:
    - {name: top, type: custom, engine: mercury, implementation: {check: max, mustBeLessThan: 100}}
"""

TABLE_RULES = """
- {name: adult, type: custom, engine: mercury, implementation: "age > 17 OR email LIKE 'k%'"}
"""

SECRETS = ("secret1", "secret2", "kid@x", "4242")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    table = pa.table(
        {
            "email": ["a@secret1", "a@secret1", "secret2", None, "kid@x"],
            "age": [30, -1, 12, None, 5],
            "income": [4242, 1, 2, 3, 4],
        }
    )
    return check(table, contract_of(tmp_path_factory.mktemp("c"), RULES, TABLE_RULES))


def test_the_report_has_every_verdict(report: Report) -> None:
    counts = report.counts
    assert all(counts[verdict] for verdict in Verdict), counts
    assert report.verdict is Verdict.FAIL


@pytest.mark.parametrize("form", FORMATS)
def test_no_output_holds_a_sensitive_value(report: Report, form: str) -> None:
    text = render(report, form)
    assert not [secret for secret in SECRETS if secret in text]
    assert form in ("junit", "sarif") or "&lt;redacted&gt;" in text or "<redacted>" in text
    assert not [secret for secret in SECRETS if secret in json.dumps(assertions(report))]


def test_values_that_are_not_sensitive_are_shown(report: Report) -> None:
    (result,) = [result for result in report.results if result.check == "age: range"]
    assert [dict(sample.values) for sample in result.sample] == [{"age": -1}]
    (adult,) = [result for result in report.results if result.check == "adult"]
    assert adult.failed == 2 and adult.sample[0].values == {"age": -1, "email": "<redacted>"}


def test_json_holds_what_was_found_also_when_passing(report: Report) -> None:
    data = json.loads(render(report, "json"))
    assert data["format"] == 1 and data["verdict"] == "fail"
    assert sum(data["counts"].values()) == len(data["results"]) == len(report.results)
    by_name = {result["check"]: result for result in data["results"]}
    assert by_name["greatest"] | {"line": 0} == {
        "check": "greatest",
        "kind": "statistic",
        "columns": ["age"],
        "verdict": "pass",
        "severity": "error",
        "message": "30",
        "value": 30,
        "threshold": "max < 100",
        "tested": None,
        "failed": None,
        "sample": [],
        "line": 0,
        "dimension": "accuracy",
        "description": "",
        "evidence": "scan",
        "accuracy": None,
    }
    assert by_name["email: required"]["sample"] == [{"file": "<table>", "row": 4, "values": {"email": "<redacted>"}}]
    assert by_name["top"]["value"] == "<redacted>"


def test_html_is_one_well_formed_file_that_loads_nothing(report: Report) -> None:
    text = render(report, "html")
    opened: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "link", "img", "iframe", "b" if opened[-1:] == ["small"] else "")
            assert not any(name in ("src", "href") for name, _ in attrs)
            if tag not in ("meta", "rect"):
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if tag != "rect":
                assert opened.pop() == tag

    Reader().feed(text)
    assert opened == []
    assert "http" not in text and "@import" not in text and "url(" not in text
    assert "prefers-color-scheme: dark" in text
    assert "nice &lt;b&gt;names&lt;/b&gt;" in text


def test_junit_counts_agree_with_its_cases(report: Report) -> None:
    root = ElementTree.fromstring(render(report, "junit"))
    (suite,) = root
    cases = suite.findall("testcase")
    assert int(suite.get("tests", "")) == len(cases) == len(report.results)
    for tag, verdict in [("failure", Verdict.FAIL), ("error", Verdict.ERROR), ("skipped", Verdict.NOT_EVALUATED)]:
        found = [case for case in cases if case.find(tag) is not None]
        attribute = {"failure": "failures", "error": "errors"}.get(tag, tag)
        assert len(found) == report.counts[verdict] == int(suite.get(attribute, ""))
    assert all(int(case.get("line", "")) > 0 for case in cases)


def test_junit_survives_control_characters(tmp_path: Path) -> None:
    contract = contract_of(
        tmp_path, "- name: a\n  quality: [{metric: invalidValues, arguments: {validValues: [ok]}, mustBe: 0}]"
    )
    text = render(
        check(
            pa.table({"a": ["\x00\x1b<&>", "\ud83d\udeeb".encode("utf-16", "surrogatepass").decode("utf-16")]}),
            contract,
        ),
        "junit",
    )
    assert "🛫" in text
    ElementTree.fromstring(text)


def test_sarif_points_at_the_lines_of_the_contract(report: Report) -> None:
    log = json.loads(render(report, "sarif"))
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    for number, result in enumerate(run["results"]):
        assert run["tool"]["driver"]["rules"][number]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        assert place["region"]["startLine"] == report.results[number].line
    kinds = [result["kind"] for result in run["results"]]
    assert kinds.count("pass") == report.counts[Verdict.PASS]
    assert kinds.count("notApplicable") == report.counts[Verdict.NOT_EVALUATED]


def test_an_unknown_format_is_told(report: Report) -> None:
    with pytest.raises(UsageError, match="Did you mean 'html'"):
        render(report, "htm")


def test_assertions_for_lineage_leave_out_what_was_not_evaluated(report: Report) -> None:
    found = assertions(report)
    assert len(found) == len(report.results) - report.counts[Verdict.NOT_EVALUATED]
    assert sum(entry["success"] for entry in found) == report.counts[Verdict.PASS]
    (entry,) = [entry for entry in found if entry["name"] == "age: range"]
    assert entry | {"column": "age", "success": False, "expected": "≥ 0", "actual": "1"} == entry


@pytest.mark.parametrize(
    ("verdicts", "fail_on", "code", "whole"),
    [
        ("pass", "error", 0, "pass"),
        ("pass warn", "error", 0, "warn"),
        ("pass warn", "warn", 5, "warn"),
        ("pass fail warn error", "error", 5, "fail"),
        ("pass fail", "never", 0, "fail"),
        ("pass error", "error", 6, "error"),
        ("fail error", "never", 6, "fail"),
        ("pass not_evaluated", "error", 0, "pass"),
        ("not_evaluated", "error", 0, "not_evaluated"),
        ("", "error", 0, "not_evaluated"),
    ],
)
def test_exit_codes_and_the_verdict_of_a_run(verdicts: str, fail_on: str, code: int, whole: str) -> None:
    found = [Verdict(word) for word in verdicts.split()]
    assert exit_code(found, fail_on) == code
    assert overall(found) is Verdict(whole)


def test_the_json_form_has_golden_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    properties = """
- name: id
  primaryKey: true
- name: x
  logicalType: number
  classification: internal
  logicalTypeOptions: {minimum: 0}
  quality:
    - {name: median, type: custom, engine: mercury, implementation: {check: quantile, q: 0.5, mustBeLessThan: 5}}
    - {type: text, description: plausible}
"""
    table = pa.table({"id": [1, 2, 2], "x": [0.5, -1.0, float("nan")]})
    found = check(table, contract_of(Path(), properties), now=datetime(2013, 1, 1, tzinfo=UTC))
    golden = Path(__file__).with_name("golden_report.json")
    assert render(replace(found, seconds=0.25), "json") == golden.read_text(encoding="utf-8")


def test_assertions_are_those_of_the_openlineage_facet(report: Report) -> None:
    from openlineage.client.generated import data_quality_assertions_dataset as facet

    made = [facet.Assertion(**entry) for entry in assertions(report)]
    assert facet.DataQualityAssertionsDatasetFacet(assertions=made).assertions == made
