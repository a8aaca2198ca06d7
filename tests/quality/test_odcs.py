"""Reading ODCS contracts: every fault has its line, value and fix, and nothing of a contract is silently left out."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from mercury.errors import DefinitionError, NotFoundError
from mercury.quality import load_contract
from mercury.quality.checks import Condition, ForeignKey, Freshness, NotNull, RowCount, Unique, Unsupported, Valid
from mercury.quality.rules import Length, OneOf, Pattern, Range
from mercury.quality.run import check as run_check
from mercury.quality.thresholds import Severity, Threshold
from mercury.time import DAY
from tests.quality.contracts import contract_of, contract_text


def fault_of(folder: Path, text: str) -> DefinitionError:
    path = folder / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        load_contract(path)
    return caught.value


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def test_a_property_becomes_checks_with_the_lines_of_their_keys(tmp_path: Path) -> None:
    contract = contract_of(
        tmp_path,
        """
- name: carrier
  logicalType: string
  required: true
  unique: true
  logicalTypeOptions:
    minLength: 2
    maxLength: 2
    pattern: "^[A-Z0-9]+$"
""",
    )
    found = {check.kind: check for check in contract.checks}
    assert set(found) == {"column_present", "column_type", "not_null", "unique", "valid"}
    assert [found[kind].line for kind in ("column_present", "column_type", "not_null", "unique")] == [9, 10, 11, 12]
    rules = [check.rule for check in contract.checks if isinstance(check, Valid)]
    assert rules == [Length("carrier", 2, 2), Pattern("carrier", "^[A-Z0-9]+$")]
    assert [check.line for check in contract.checks if isinstance(check, Valid)] == [14, 16]


@pytest.mark.parametrize(
    ("written", "threshold", "passes", "fails"),
    [
        ("mustBe: 3", Threshold("mustBe", (3,)), 3, 4),
        ("mustNotBe: 3", Threshold("mustNotBe", (3,)), 4, 3),
        ("mustBeGreaterThan: 3", Threshold("mustBeGreaterThan", (3,)), 4, 3),
        ("mustBeGreaterOrEqualTo: 3", Threshold("mustBeGreaterOrEqualTo", (3,)), 3, 2),
        ("mustBeLessThan: 3", Threshold("mustBeLessThan", (3,)), 2, 3),
        ("mustBeLessOrEqualTo: 3", Threshold("mustBeLessOrEqualTo", (3,)), 3, 4),
        ("mustBeBetween: [3, 5]", Threshold("mustBeBetween", (3, 5)), 5, 6),
        ("mustNotBeBetween: [3, 5]", Threshold("mustNotBeBetween", (3, 5)), 6, 5),
    ],
)
def test_all_eight_operators_are_read_and_judge(
    tmp_path: Path, written: str, threshold: Threshold, passes: int, fails: int
) -> None:
    (check,) = contract_of(tmp_path, quality=f"- metric: rowCount\n  {written}").checks
    assert isinstance(check, RowCount)
    assert check.threshold == threshold
    assert (check.threshold.met(passes), check.threshold.met(fails)) == (True, False)
    assert not check.threshold.met(None) and not check.threshold.met(float("nan"))


def test_library_metrics_units_and_severities(tmp_path: Path) -> None:
    contract = contract_of(
        tmp_path,
        """
- name: a
  quality:
    - {metric: nullValues, mustBeLessThan: 5, unit: percent, severity: warning}
    - {metric: invalidValues, arguments: {validValues: [x, y]}, mustBe: 0}
    - {metric: duplicateValues, mustBeLessOrEqualTo: 1, unit: percent}
    - {type: library, metric: missingValues, arguments: {missingValues: [null, "", "-"]}, mustBe: 0}
""",
        """
- {metric: duplicateValues, arguments: {properties: [a, b]}, mustBe: 0}
""",
    )
    nulls, invalid, duplicates, missing, compound = contract.checks[1:]
    assert (nulls.threshold, nulls.severity) == (Threshold("mustBeLessThan", (5,), "percent"), Severity.WARN)
    assert isinstance(invalid, Valid) and invalid.rule == OneOf("a", ("x", "y"))
    assert isinstance(duplicates, Unique) and duplicates.keys == ("a",)
    assert missing.values == ("", "-")  # type: ignore[attr-defined]
    assert isinstance(compound, Unique) and compound.keys == ("a", "b")
    assert [check.name for check in contract.row_checks] == [invalid.name, missing.name]


def test_the_primary_key_is_ordered_not_null_and_unique_together(tmp_path: Path) -> None:
    contract = contract_of(
        tmp_path,
        """
- {name: day, primaryKey: true, primaryKeyPosition: 2}
- {name: id, primaryKey: true, primaryKeyPosition: 1, physicalName: ident}
""",
    )
    assert [check.columns for check in contract.checks if isinstance(check, NotNull)] == [("ident",), ("day",)]
    assert [check.keys for check in contract.checks if isinstance(check, Unique)] == [("ident", "day")]


def test_ranges_relations_and_freshness(tmp_path: Path) -> None:
    contract = contract_of(
        tmp_path,
        """
- name: at
  logicalType: timestamp
  logicalTypeOptions: {minimum: 2013-01-01, exclusiveMaximum: "2014-01-01T00:00:00Z"}
- name: carrier
  relationships:
    - to: airlines.code
""",
        more="slaProperties:\n  - {property: freshness, value: 2, unit: d, element: t.at}\n",
    )
    (valid,) = [check for check in contract.checks if isinstance(check, Valid)]
    assert valid.rule == Range("at", "2013-01-01", "2014-01-01T00:00:00Z", open_high=True)
    (foreign,) = [check for check in contract.checks if isinstance(check, ForeignKey)]
    assert (foreign.keys, foreign.table, foreign.referenced) == (("carrier",), "airlines", ("code",))
    (fresh,) = [check for check in contract.checks if isinstance(check, Freshness)]
    assert (fresh.column, fresh.max_age) == ("at", 2 * DAY)


def test_what_is_not_evaluated_is_listed_with_its_reason(tmp_path: Path) -> None:
    contract = contract_of(
        tmp_path,
        """
- name: a
  logicalType: string
  physicalType: VARCHAR(3)
  logicalTypeOptions: {format: hostname}
  quality:
    - {type: text, description: looks nice}
    - {description: looks nice as well}
    - {type: sql, query: "SELECT max(a) FROM t WHERE a > 0", mustBe: 0}
    - {type: custom, engine: soda, implementation: "checks"}
- name: b
  logicalType: array
  logicalTypeOptions: {minItems: 1}
  items: {logicalType: string}
""",
        more="slaProperties:\n  - {property: retention, value: 3, unit: y}\n",
    )
    listed = {check.name: check.why for check in contract.not_evaluated}
    assert len(contract.not_evaluated) == 9
    assert "the engine 'soda' is not Mercury's" in listed.values()
    assert listed["agreement: retention"] == "retention cannot be seen in the data"
    assert "hostname" in listed["a: format"] and "minItems" in listed["b: minItems"]
    assert "1 columns" in listed["physical types"]


def test_all_faults_are_told_at_once_with_line_value_and_fix(tmp_path: Path) -> None:
    text = contract_text(
        """
- name: a
  logicalType: strin
  requird: true
- name: b
  quality:
    - {metric: nullValus, mustBe: 0}
"""
    )
    error = fault_of(tmp_path, text)
    told = f"{error}\n{error.excerpt}"
    for part, line in [("strin", 10), ("requird", 11), ("nullValus", 14)]:
        assert f"broken.yaml:{line}" in told and part in told
    assert "Did you mean 'string'?" in told
    assert "Did you mean 'required'?" in told
    assert "Did you mean 'nullValues'?" in told
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("{metric: nullValues}", "no operator"),
        ("{metric: nullValues, mustBe: 0, mustBeLessThan: 3}", "mustBe and mustBeLessThan"),
        ("{metric: nullValues, mustBe: some}", "is not 1 number"),
        ("{metric: nullValues, mustBeBetween: [5, 1]}", "begins with the greater bound"),
        ("{metric: nullValues, mustBe: 0, unit: apples}", "the unit 'apples' is not known"),
        ("{metric: nullValues, mustBe: 0, severity: awful}", "the severity 'awful' is not known"),
        ("{metric: invalidValues, mustBe: 0}", "needs one rule"),
        ("{metric: invalidValues, arguments: {validValues: [NO, SE]}, mustBe: 0}", "mix boolean and text"),
        ("{metric: invalidValues, arguments: {pattern: '('}, mustBe: 0}", "cannot be used"),
        ("{metric: invalidValues, arguments: {pattern: 'a(?=b)'}, mustBe: 0}", "RE2"),
        ("{metric: invalidValues, arguments: {validValue: [a]}, mustBe: 0}", "'validValue' is not known"),
        ("{type: custom, engine: mercury, implementation: 'a >'}", "a >"),
        ("{type: custom, engine: mercury, implementation: {check: meen, mustBe: 1}}", "Did you mean 'mean'"),
        ("{type: custom, engine: mercury, implementation: {check: mean}}", "no operator"),
        ("{type: custom, engine: mercury, implementation: {check: mean, wher: x, mustBe: 1}}", "does not take 'wher'"),
        ("{type: custom, engine: mercury, implementation: {check: quantile, q: 99, mustBe: 1}}", "between 0 and 1"),
        ("{type: custom, engine: mercury, implementation: {check: freshness, maxAge: 3}}", "not a duration"),
    ],
)
def test_a_faulty_rule_is_told_with_its_line(tmp_path: Path, rule: str, told: str) -> None:
    text = contract_text(f"- name: a\n  quality:\n    - {rule}")
    error = fault_of(tmp_path, text)
    assert told in f"{error}\n{error.excerpt or ''}"
    assert f"broken.yaml:{line_of(text, rule)}" in str(error)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("- a\n", "not a mapping"),
        (contract_text("- {name: a, logicalTypeOptions: {minimum: 1}}"), "stands without a logicalType"),
        ("a: [1\n", "not YAML"),
        ("a: 1\nb: 2\na: 3\n", "'a' stands twice (first on line 1)"),
        ("apiVersion: {}\nkind: DataContract\n", "{} cannot be read"),
        ("apiVersion: v2.2.2\nkind: DataContract\n", "'v2.2.2' cannot be read"),
        (contract_text().replace("schema:\n  - name: t\n", ""), "describes no table"),
        (contract_text("- {name: a}\n- {name: b}\n- {name: a}"), "the column 'a' stands twice"),
    ],
)
def test_a_file_that_is_no_contract_is_told(tmp_path: Path, text: str, told: str) -> None:
    assert told in str(fault_of(tmp_path, text))


def test_aliases_that_expand_without_bound_are_refused(tmp_path: Path) -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    assert "too large" in str(fault_of(tmp_path, "a0: &a0 [x, x]\n" + levels))


def test_a_missing_file_and_a_missing_table_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_contract(tmp_path / "none.yaml")
    path = tmp_path / "c.yaml"
    path.write_text(contract_text("- {name: a}") + "  - name: flights\n")
    with pytest.raises(DefinitionError, match=r"describes 2 tables.*t, flights"):
        load_contract(path)
    assert load_contract(path, "t").table == "t"
    with pytest.raises(NotFoundError, match=r"flight.*Did you mean 'flights'"):
        load_contract(path, "flight")


def test_the_hash_ignores_layout_and_comments(tmp_path: Path) -> None:
    first = contract_of(tmp_path, "- {name: a, required: true}")
    second = contract_of(tmp_path, "# a comment\n- name: a\n  required: true")
    third = contract_of(tmp_path, "- {name: a, required: false}")
    assert first.sha256 == second.sha256 != third.sha256


@pytest.mark.parametrize(
    ("entry", "hidden"),
    [
        ("{name: a}", False),
        ("{name: a, classification: public}", False),
        ("{name: a, classification: restricted}", True),
        ("{name: a, classification: C3}", True),
        ("{name: a, tags: [PII]}", True),
        ("{name: a, tags: [core]}", False),
    ],
)
def test_classification_and_tags_make_a_column_sensitive(tmp_path: Path, entry: str, hidden: bool) -> None:
    assert contract_of(tmp_path, f"- {entry}").sensitive == (frozenset({"a"}) if hidden else frozenset())


def test_physical_names_are_used_wherever_the_contract_names_a_column(tmp_path: Path) -> None:
    path = tmp_path / "named.yaml"
    path.write_text(
        """apiVersion: v3.1.0
kind: DataContract
id: test
version: 1.0.0
status: active
schema:
  - name: t
    relationships:
      - {from: t.receiver, to: receivers.id}
    properties:
      - name: date
        physicalName: txn_dt
        quality: [{type: custom, engine: mercury, implementation: {check: monotonic}}]
      - {name: receiver, physicalName: rcvr}
    quality:
      - {metric: duplicateValues, arguments: {properties: [date, receiver]}, mustBe: 0}
      - {type: custom, engine: mercury, implementation: {check: distinct, column: receiver, mustBe: 3}}
  - name: receivers
    properties:
      - {name: id, physicalName: ident}
slaDefaultElement: t.date
slaProperties:
  - {property: freshness, value: 1, unit: h}
  - {property: freshness, value: 1, unit: h, element: receivers.id}
  - {property: freshness, value: 1, unit: h, element: elsewhere.at}
"""
    )
    contract = load_contract(path, "t")
    by_kind = {check.kind: check for check in contract.checks}
    assert by_kind["monotonic"].columns == ("txn_dt",)
    assert by_kind["unique"].columns == ("txn_dt", "rcvr")
    assert by_kind["distinct"].columns == ("rcvr",)
    foreign = by_kind["foreign_key"]
    assert isinstance(foreign, ForeignKey)
    assert (foreign.keys, foreign.referenced) == (("rcvr",), ("ident",))
    assert [check.columns for check in contract.checks if isinstance(check, Freshness)] == [("txn_dt",)]
    assert [check.why for check in contract.not_evaluated] == ["the contract does not describe elsewhere"]


def test_rules_of_version_3_0_load_and_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    text = contract_text("- name: a\n  quality: [{type: library, rule: between, mustBeLessThan: 5}]")
    path.write_text(text.replace("v3.1.0", "v3.0.2"))
    (listed,) = load_contract(path).not_evaluated
    assert "'between' of ODCS 3.0" in listed.why
    assert "'metric' is a required property" in str(fault_of(tmp_path, text))


def test_a_null_among_the_valid_values_is_no_value(tmp_path: Path) -> None:
    contract = contract_of(
        tmp_path, "- name: a\n  quality: [{metric: invalidValues, arguments: {validValues: ['', null, x]}, mustBe: 0}]"
    )
    (check,) = [check for check in contract.checks if isinstance(check, Valid)]
    assert check.rule == OneOf("a", ("", "x"))


def test_checks_of_one_name_are_told_apart_by_their_lines(tmp_path: Path) -> None:
    contract = contract_of(
        tmp_path,
        quality="- {name: rows, metric: rowCount, mustBe: 1}\n- {name: rows, metric: rowCount, mustBe: 2}",
    )
    assert [check.name for check in contract.checks] == ["rows", "rows (line 10)"]


@pytest.mark.parametrize(
    ("query", "expression"),
    [
        ("SELECT COUNT(*) FROM ${table} WHERE ${column} < 0", "NOT (a < 0)"),
        ("select count( * ) from {object}\nwhere {property} < 0 ;", "NOT (a < 0)"),
        ("SELECT COUNT(*) FROM t WHERE a IS NULL OR b = 'x'", "NOT (a IS NULL OR b = 'x')"),
        ("SELECT COUNT(*) FROM other WHERE a < 0", None),
        ("SELECT COUNT(*) FROM t", None),
        ("SELECT COUNT(*) FROM t WHERE a IN (SELECT a FROM u)", None),
        ("SELECT COUNT(*) FROM t WHERE a > 0 GROUP BY b", None),
        ("SELECT COUNT(*) FROM t WHERE read_csv('/etc/passwd') > 0", None),
        ("SELECT COUNT(*) FROM t WHERE a > 0) OR (a > 1", None),
    ],
)
def test_count_queries_become_conditions_and_other_queries_are_listed(
    tmp_path: Path, query: str, expression: str | None
) -> None:
    text = json.dumps(query)
    contract = contract_of(tmp_path, f"- name: a\n  quality: [{{type: sql, query: {text}, mustBeLessThan: 3}}]")
    check = contract.checks[-1]
    if expression is None:
        assert isinstance(check, Unsupported)
        return
    assert isinstance(check, Condition)
    assert check.expression == expression
    table = pa.table({"a": [1, -1, -2, None], "b": ["x", "y", "y", "y"]})
    result = run_check(table, contract).results[-1]
    assert (result.failed, result.verdict.value) == (2, "pass")


def test_any_damage_to_a_contract_is_a_told_fault_and_never_a_crash(tmp_path: Path) -> None:
    seed = 424
    print("seed", seed)
    random = Random(seed)
    lines = Path("examples/flights/contracts/flights_history.odcs.yaml").read_text(encoding="utf-8").splitlines()
    path = tmp_path / "damaged.yaml"
    outcomes = {"read": 0, "refused": 0}
    values = ["null", "[]", "{}", "-1", "''", "yes", "{a: 1}", "[1, x]", ".nan", "1e400", "2013-01-01", "'('"]
    for _ in range(120):
        damaged = list(lines)
        for _ in range(random.randint(1, 3)):
            number = random.randrange(2, len(damaged))
            key, colon, _ = damaged[number].partition(": ")
            match random.randrange(3):
                case 0:
                    del damaged[number]
                case 1 if colon and "{" not in key:
                    damaged[number] = f"{key}: {random.choice(values)}"
                case _:
                    damaged[number] = damaged[number].replace("e", "", 1)
        path.write_text("\n".join(damaged), encoding="utf-8")
        try:
            load_contract(path)
            outcomes["read"] += 1
        except DefinitionError as error:
            assert "damaged.yaml" in str(error)
            outcomes["refused"] += 1
    assert outcomes["refused"] > 40 and outcomes["read"] >= 5, outcomes
