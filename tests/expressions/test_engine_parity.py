"""One expression, one answer: DuckDB and Spark agree on values where they are known not to."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from mercury.expressions import Expression, evaluate
from tests.expressions import awkward

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

EXPRESSIONS = [
    # Spark's optimizer would regroup these by their constants and lose or invent an overflow.
    *("7 * i * 0", "-3 * i * 9223372036854775807", "9223372036854775807 + i + -9223372036854775807", "i + 1 - 1 + i2"),
    *("2 * (i * 3) * i2", "coalesce(7 * i, 7 * i) * 0"),
    *(
        f"{a} {op} {b}"
        for a, b in (("i", "i2"), ("f", "f2"), ("i", "f"), ("small", "i"), ("small", "small"), ("single", "f"))
        for op in ("+", "-", "*", "/", "%", "=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
    ),
    *(
        "i // i2",
        "small // k",
        "-i",
        "-f",
        "-small",
        "i + 1",
        "i - 1",
        "i * 2",
        "f * 2",
        "i / 3",
        "f % 1",
        "i % 10",
        "single",
        "small",
    ),
    *(f"{a} {op} {a}2" for a in ("s", "t", "d", "b") for op in ("=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM")),
    *(
        "t < d",
        "d = t2",
        "t > '2000-01-01'",
        "d <= '1970-01-01'",
        "t = '1970-01-01 00:00:00'",
        "t >= TIMESTAMP '1969-12-31 23:59:59.5'",
    ),
    *(
        "b AND b2",
        "b OR b2",
        "NOT b",
        "b IS NULL",
        "b IS TRUE",
        "b IS NOT FALSE",
        "b IS NOT TRUE",
        "f IS NULL",
        "s IS NOT NULL",
    ),
    *(
        "f IN (1, 2.5, 0)",
        "f IN (0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)",
        "i IN (1, NULL)",
        "i NOT IN (1, NULL)",
    ),
    *("s IN ('a', 'é', '')", "i IN (f, 3)", "s NOT IN ('a')", "t IN ('1970-01-01', '2000-02-29 12:30:59.5')"),
    *(
        "i BETWEEN -1 AND 7",
        "f BETWEEN 0 AND 2.5",
        "f NOT BETWEEN f2 AND 1",
        "s BETWEEN 'a' AND 'b'",
        "t BETWEEN '1960-01-01' AND '2012-12-31'",
    ),
    *(
        "CASE WHEN b THEN i ELSE f END",
        "CASE WHEN i > 0 THEN 'p' WHEN i < 0 THEN 'n' END",
        "CASE i WHEN 1 THEN 10 WHEN NULL THEN 20 ELSE 30 END",
    ),
    *(
        "CASE WHEN b THEN NULL ELSE NULL END IS NULL",
        "if(f > 0, t, d)",
        "coalesce(f, i, 0)",
        "coalesce(s, '')",
        "nullif(f, 0)",
        "nullif(i, 1)",
    ),
    *(
        "least(f, f2)",
        "greatest(f, f2)",
        "least(i, i2, 0)",
        "greatest(i, f)",
        "greatest(s, s2)",
        "least(t, t2)",
        "greatest(t, d)",
        "least(b, b2)",
    ),
    *(f"{fn}({x})" for fn in ("abs", "round", "floor", "ceil", "trunc", "sign") for x in ("i", "f", "small", "single")),
    *(f"round(f, {n})" for n in (0, 1, 2, 10, 15)),
    "sqrt(f)",
    "sqrt(i)",
    "isnan(f)",
    "isinf(f)",
    "isnan(i)",
    *(
        "cast(f AS bigint)",
        "cast(single AS int)",
        "cast(i AS double)",
        "cast(b AS int)",
        "cast(b AS double)",
        "cast(b AS text)",
        "cast(i AS text)",
    ),
    *(f"cast(s AS {kind})" for kind in ("bigint", "double", "bool", "date", "timestamp")),
    *(
        "cast(t AS date)",
        "cast(d AS timestamp)",
        "cast(d AS text)",
        "cast(NULL AS bigint)",
        "CAST(NULL AS text) || s",
        "s::int + 1",
    ),
    *(
        "lower(s)",
        "upper(s)",
        "length(s)",
        "trim(s)",
        "ltrim(s)",
        "rtrim(s)",
        "s || s2",
        "concat(s, '-', s2)",
        "'it''s \\ ${x} $' || s",
    ),
    *(
        "substr(s, 1, 2)",
        "substr(s, 0, 2)",
        "substr(s, 0)",
        "substr(s, -2)",
        "substr(s, -2, 1)",
        "substr(s, 2, 0)",
        "substr(s, -9, 8)",
    ),
    *("substr(s, 2, -1)", "substr(s, k)", "substr(s, k, 2)", "substr(s, 1, k)", "substr(s, k, k)", "substr(s, 2)"),
    *(
        "replace(s, 'a', '')",
        "replace(s, '', 'x')",
        "replace(s, s2, '!')",
        "starts_with(s, 'a')",
        "ends_with(s, s2)",
        "contains(s, '')",
        "contains(s, s2)",
    ),
    *(
        "s LIKE 'a%'",
        "s LIKE '_'",
        "s LIKE '%\\%'",
        "s LIKE 'a\\b'",
        "s LIKE '%!%' ESCAPE '!'",
        "s LIKE 'a!_b' ESCAPE '!'",
        "s LIKE 'a!%'",
        "s NOT LIKE '%b'",
    ),
    *(
        "s LIKE '%''%'",
        "s LIKE 'a_b'",
        "s LIKE '$%'",
        "s LIKE ''",
        "s LIKE '%.%'",
        "s LIKE '%x!ab' ESCAPE 'x'",
        "s LIKE 'a~!b' ESCAPE '~'",
    ),
    *(
        f"date_trunc('{u}', {x})"
        for u in ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
        for x in ("t", "d")
    ),
    *(
        f"extract({p} FROM {x})"
        for p in (
            "year",
            "quarter",
            "month",
            "week",
            "day",
            "dow",
            "isodow",
            "doy",
            "hour",
            "minute",
            "second",
            "epoch",
        )
        for x in ("t", "d")
    ),
    *("epoch(t)", "epoch_us(t)", "epoch(d)", "epoch_us(d)", "year(t)", "hour(t)", "epoch(t) - epoch(t2)", "week(d)"),
    *(
        "t + INTERVAL '1 hour'",
        "t - INTERVAL 90 MINUTE",
        "d + INTERVAL '1 day'",
        "INTERVAL '3' SECOND + t",
        "t + INTERVAL '-1 week'",
    ),
    *(
        "hour(t) * 60 + minute(t)",
        "f > 0.5 AND NOT (i = 3 OR b)",
        "NULL",
        "NULL = 1",
        "1 / 0",
        "5 % 0",
        "'a' < 'B'",
        "-9223372036854775808",
    ),
    *(
        "1.7976931348623157e308 * 10",
        "4.9e-324",
        "0.1 + 0.2",
        "9223372036854775807 + 1",
        "1e22",
        "123456789.123456789",
        "TRUE AND NULL",
    ),
]

CLOSE = ["ln(f)", "log10(f)", "exp(f)", "power(f, f2)", "power(i, 2)", "f ** 0.5", "exp(i / 1e18)", "ln(i)"]


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return awkward.table()


def test_engines_agree_to_the_bit_on_awkward_values(spark_local: SparkSession, rows: pa.Table, tmp_path: Path) -> None:
    assert not disagreements(spark_local, EXPRESSIONS, rows, tmp_path)


@pytest.mark.slow
def test_ansi_mode_of_spark_changes_nothing(spark_local: SparkSession, rows: pa.Table, tmp_path: Path) -> None:
    spark_local.conf.set("spark.sql.ansi.enabled", "true")
    try:
        assert not disagreements(spark_local, EXPRESSIONS, rows, tmp_path)
    finally:
        spark_local.conf.set("spark.sql.ansi.enabled", "false")


def test_transcendental_functions_agree_to_rounding(spark_local: SparkSession, rows: pa.Table, tmp_path: Path) -> None:
    assert not disagreements(spark_local, CLOSE, rows, tmp_path, tolerance=1e-15)


def test_random_expressions_agree(spark_local: SparkSession, rows: pa.Table, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    grammar = Grammar(random.Random(seed))
    texts = [grammar.any(3) for _ in range(240)]
    schema = rows.schema
    # What writes its operand several times grows; a plan of such size is slow in Spark and shows nothing more.
    expressions = [text for text in texts if len(Expression.parse(text).sql("spark", schema)) < 4000]
    assert len(expressions) > 120
    assert not disagreements(spark_local, expressions, rows.slice(0, 400), tmp_path)


def test_case_mapping_agrees_on_every_code_point(spark_local: SparkSession, tmp_path: Path) -> None:
    points = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code <= 0xDFFF]
    lines = pa.table({"s": ["".join(points[start : start + 64]) for start in range(0, len(points), 64)]})
    assert not disagreements(spark_local, ["lower(s)", "upper(s)"], lines, tmp_path)


def disagreements(
    spark: SparkSession, expressions: list[str], rows: pa.Table, folder: Path, tolerance: float = 0.0
) -> list[str]:
    """Each expression on which the engines differ, with the first such row."""
    named = {f"e{place}": text for place, text in enumerate(expressions)}
    ours = evaluate(named, rows)
    theirs = awkward.on_spark(spark, named, rows, folder)
    found = []
    for name, text in named.items():
        for row, (left, right) in enumerate(zip(awkward.plain(ours.column(name)), theirs[name], strict=True)):
            if not awkward.same(left, right, tolerance):
                inputs = {column: rows.column(column)[row].as_py() for column in rows.column_names}
                found.append(f"{text}: DuckDB {left!r}, Spark {right!r} on {inputs}")
                break
    return found


class Grammar:
    """Random expressions that are well typed; every operation of the whitelist that agrees to the bit."""

    def __init__(self, random_: random.Random) -> None:
        self.random = random_

    def any(self, depth: int) -> str:
        return self.random.choice([self.integer, self.real, self.text, self.condition, self.time])(depth)

    def integer(self, depth: int) -> str:
        if depth == 0:
            return self.random.choice(["i", "i2", "small", "k", "0", "7", "-3", "9223372036854775807"])
        a, b, d = self.integer(depth - 1), self.integer(depth - 1), depth - 1
        return self.random.choice(
            [
                f"({a} + {b})",
                f"({a} - {b})",
                f"({a} * {b})",
                f"({a} // {b})",
                f"({a} % {b})",
                f"(- {a})",
                f"abs({a})",
                f"coalesce({a}, {b})",
                f"nullif({a}, {b})",
                f"greatest({a}, {b})",
                f"sign({self.real(d)})",
                f"length({self.text(d)})",
                f"extract(dow FROM {self.time(d)})",
                f"hour({self.time(d)})",
                f"CASE WHEN {self.condition(d)} THEN {a} ELSE {b} END",
                f"cast({self.real(d)} AS bigint)",
            ]
        )

    def real(self, depth: int) -> str:
        if depth == 0:
            return self.random.choice(["f", "f2", "single", "1.5", "-0.5", "1e300", "0.0"])
        a, b, d = self.real(depth - 1), self.real(depth - 1), depth - 1
        return self.random.choice(
            [
                f"({a} + {b})",
                f"({a} - {b})",
                f"({a} * {b})",
                f"({a} / {b})",
                f"({a} % {b})",
                f"(- {a})",
                f"abs({a})",
                f"round({a})",
                f"floor({a})",
                f"ceil({a})",
                f"trunc({a})",
                f"sqrt({a})",
                f"least({a}, {b})",
                f"coalesce({a}, {self.integer(d)})",
                f"if({self.condition(d)}, {a}, {b})",
                f"round({a}, 2)",
                f"({self.integer(d)} / {self.integer(d)})",
                f"epoch({self.time(d)})",
                f"cast({self.text(d)} AS double)",
            ]
        )

    def text(self, depth: int) -> str:
        if depth == 0:
            return self.random.choice(["s", "s2", "'aß'", "''", "'x_%'"])
        a, b, d = self.text(depth - 1), self.text(depth - 1), depth - 1
        return self.random.choice(
            [
                f"({a} || {b})",
                f"lower({a})",
                f"upper({a})",
                f"trim({a})",
                f"replace({a}, 'a', {b})",
                f"coalesce({a}, {b})",
                f"substr({a}, {self.random.randint(-3, 3)})",
                f"greatest({a}, {b})",
                f"cast({self.integer(d)} AS text)",
                f"CASE WHEN {self.condition(d)} THEN {a} END",
                f"substr({a}, k, {self.random.randint(0, 3)})",
            ]
        )

    def condition(self, depth: int) -> str:
        if depth == 0:
            return self.random.choice(["b", "b2", "TRUE", "NULL"])
        d = depth - 1
        kind = self.random.choice([self.integer, self.real, self.text, self.time])
        a, b = kind(d), kind(d)
        p, q = self.condition(d), self.condition(d)
        op = self.random.choice(["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
        return self.random.choice(
            [
                f"({a} {op} {b})",
                f"({p} AND {q})",
                f"({p} OR {q})",
                f"(NOT {p})",
                f"({p} IS TRUE)",
                f"({a} IS NULL)",
                f"({a} IN ({b}, {kind(d)}, NULL))",
                f"({a} BETWEEN {b} AND {kind(d)})",
                f"({self.text(d)} LIKE 'a%_')",
                f"isnan({self.real(d)})",
                f"contains({self.text(d)}, {self.text(d)})",
            ]
        )

    def time(self, depth: int) -> str:
        if depth == 0:
            return self.random.choice(["t", "t2", "TIMESTAMP '1969-12-31 23:59:59.999999'"])
        a, d = self.time(depth - 1), depth - 1
        unit = self.random.choice(["second", "hour", "day", "week", "month", "year"])
        return self.random.choice(
            [
                f"date_trunc('{unit}', {a})",
                f"({a} + INTERVAL '{self.random.randint(0, 99)} hours')",
                f"coalesce({a}, {self.time(d)})",
                f"least({a}, {self.time(d)})",
                f"cast(cast({a} AS date) AS timestamp)",
                f"cast(({self.text(d)} || '') AS timestamp)",
                f"if({self.condition(d)}, {a}, d)",
            ]
        )
