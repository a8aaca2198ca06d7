"""Mistakes: one line, a caret under the place, what to write instead; and nothing outside the whitelist."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pytest

from mercury.errors import ExpressionError
from mercury.expressions import Expression

SCHEMA = pa.schema(
    {
        "dep_delay": pa.float64(),
        "n": pa.int32(),
        "s": pa.string(),
        "t": pa.timestamp("us", tz="UTC"),
        "d": pa.date32(),
        "b": pa.bool_(),
        "price": pa.decimal128(9, 2),
        "big": pa.uint64(),
        "tags": pa.list_(pa.string()),
    }
)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("dep_dealy > 15", "dep_dealy", "the table has no column 'dep_dealy'.*Did you mean 'dep_delay'?"),
        ("DEP_DELAY > 15", "DEP_DELAY", "no column 'DEP_DELAY'"),
        ("n + s", "s", r"\+ does not take text.*\|\|"),
        ("n + b", "b", r"\+ takes float or integer, not bool.*cast\(x AS bigint\)"),
        ("n = 'a'", "'a'", "text does not go with integer"),
        ("not n", "n", "NOT takes bool, not integer.*x <> 0"),
        ("b AND n", "n", "AND takes bool, not integer"),
        ("CASE WHEN b THEN 1 ELSE 'a' END", "'a'", "text does not go with integer"),
        ("upper(n)", "n", "upper takes text, not integer"),
        ("t - t", "t - t", r"times cannot be subtracted.*epoch\(a\) - epoch\(b\)"),
        ("cast('2013-02-30' AS date) > d", None, "'2013-02-30' is not a time"),
        ("t > '2013-13-01'", "'2013-13-01'", "'2013-13-01' is not a time"),
        ("d = '2013-01-01 12:00:00' AND d = s", "s", "text does not go with date"),
        ("t + INTERVAL '1 month'", "t + INTERVAL '1 month'", "not an interval of fixed length"),
        ("cast(dep_delay AS text)", "dep_delay", "float cannot be cast to text"),
        ("cast(n AS decimal(3, 1))", None, "is not a type that a cast can have.*bigint"),
        ("price > 1", "price", "column 'price' has the type decimal128"),
        ("big > 1", "big", "has the type uint64"),
        ("tags = 'a'", "tags", "has the type list"),
        ("round(dep_delay, n)", "n", "decimals of round"),
        ("n >", ">", "something is missing after '>'"),
        ("n n", "n", "'n' is not expected here"),
        ("n)", ")", r"'\)' is not expected here"),
        ("(n", None, "missing"),
        ("s = 'x", None, "a quote is not closed|cannot be read"),
        ("", None, "the expression is empty"),
        ("n; n", None, "not one expression"),
        ("x.n > 1", "x.n", "x.n is not a plain column"),
        ("n = 9223372036854775808", "9223372036854775808", "does not fit into 64 bits"),
        ("n IS 1", None, "IS takes NULL, TRUE or FALSE"),
        ("s LIKE n", None, "LIKE takes a pattern in quotes"),
        ("s LIKE 'a!' ESCAPE '!'", None, "ends in its escape character"),
        ("substr(s)", None, "substr takes 2 to 3 arguments"),
        ("date_trunc('fortnight', t)", None, "date_trunc does not know 'fortnight'"),
        ("extract(weekday FROM t)", None, "'weekday' cannot be extracted|dow"),
        ("lowr(s)", None, "'lowr' is not allowed.*Did you mean 'lower'"),
        ("log(n)", None, "'log' is not allowed.*ln or log10"),
    ],
)
def test_mistake_is_named_with_its_place_and_a_way_out(text: str, place: str | None, message: str) -> None:
    with pytest.raises(ExpressionError, match=message) as caught:
        Expression.parse(text).check(SCHEMA)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    if place is not None:
        assert caught.value.excerpt is not None
        line, carets = caught.value.excerpt.splitlines()
        marked = line[carets.index("^") : carets.rindex("^") + 1]
        assert marked == place
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_caret_points_into_the_right_line() -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression.parse("n > 1\n  AND dealy > 2").check(SCHEMA)
    assert caught.value.excerpt == "      AND dealy > 2\n          ^^^^^"


@pytest.mark.parametrize(
    "text",
    [
        "(SELECT 1)",
        "n IN (SELECT 1)",
        "EXISTS (SELECT 1)",
        "sum(n)",
        "count(*)",
        "*",
        "row_number() OVER ()",
        "sum(n) OVER (ORDER BY n)",
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd')",
        "getenv('HOME')",
        "query('DROP TABLE x')",
        "current_setting('TimeZone')",
        "json_execute_serialized_sql('x')",
        "reflect('java.lang.System', 'exit', 1)",
        "java_method('java.lang.System', 'exit', 1)",
        "now()",
        "current_timestamp",
        "random()",
        "uuid()",
        "nextval('s')",
        "regexp_matches(s, '(a+)+b')",
        "s ~ 'a'",
        "s SIMILAR TO 'a'",
        "s GLOB 'a'",
        "t AT TIME ZONE 'UTC'",
        "COLUMNS('a')",
        "$1",
        "?",
        ":n",
        "[1, 2]",
        "{'a': 1}",
        "n[1]",
        "s -> 'a'",
        "x -> x + 1",
        "list_transform([1], x -> x)",
        "e'\\x41'",
        "x'41'",
        "n AS m",
        "n::json",
        "n::STRUCT(a INT)",
        "DROP TABLE rows",
        "COPY rows TO 'x'",
        "SELECT 1",
        "n & 1",
        "n << 1",
        "~n",
        "s COLLATE NOCASE = 'a'",
        "round(dep_delay, 1, 'x')",
        "substring(s, 1, 2, 3)",
        "n BETWEEN SYMMETRIC 2 AND 1",
        "trim('x' FROM s)",
        "a b c",
        "n = ANY (1)",
        "s LIKE ANY ('a')",
    ],
)
def test_what_is_not_in_the_whitelist_is_refused_before_any_engine_sees_it(text: str) -> None:
    with pytest.raises(ExpressionError):
        Expression.parse(text)


@pytest.mark.parametrize(
    "text", ["(" * 5000 + "n" + ")" * 5000, "not " * 2400 + "b", "- " * 4900 + "n", "n" + " + n" * 3000, "[" * 9000]
)
def test_deep_and_long_expressions_are_refused_without_harm(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"too long|too deep|nested too deeply|grows"):
        Expression.parse(text).sql("spark", SCHEMA)


def test_expression_that_grows_in_sql_is_refused() -> None:
    text = "n"
    for _ in range(12):
        text = f"abs({text})"
    with pytest.raises(ExpressionError, match="grows to more than"):
        Expression.parse(text).sql("duckdb", SCHEMA)


def test_text_in_a_literal_stays_a_text() -> None:
    hostile = "x'); DROP TABLE rows; --\\' ${env:HOME}"
    expression = Expression.parse("s = '" + hostile.replace("'", "''") + "'")
    assert expression.sql("duckdb", SCHEMA) == "(\"s\" = 'x''); DROP TABLE rows; --\\'' ${env:HOME}')"
    assert expression.sql("spark", SCHEMA) == (r"(`s` = 'x\'); DROP TABLE rows; --\\\' \u0024{env:HOME}')")


def test_columns_are_quoted() -> None:
    expression = Expression.parse('"a "" b" > 1')
    schema = pa.schema({'a " b': pa.int64()})
    assert expression.columns == {'a " b'}
    assert expression.sql("duckdb", schema) == '("a "" b" > CAST(1 AS BIGINT))'
    assert expression.sql("spark", schema) == '(`a " b` > 1L)'


def test_columns_that_differ_in_case_only_are_refused() -> None:
    with pytest.raises(ExpressionError, match="differ in case only"):
        Expression.parse("a > 1").check(pa.schema({"a": pa.int64(), "A": pa.int64()}))


def test_condition_must_be_a_condition() -> None:
    with pytest.raises(ExpressionError, match="is of type int64, not a condition"):
        Expression.parse("n + 1").check_condition(SCHEMA)


def test_without_a_schema_what_needs_types_says_so() -> None:
    assert Expression.parse("n + 1 > dep_delay").sql("duckdb") == '(TRY("n" + CAST(1 AS BIGINT)) > "dep_delay")'
    for text in ("cast(n AS text)", "round(n)", "abs(n)"):
        with pytest.raises(ExpressionError, match="needs to know the type"):
            Expression.parse(text).sql("spark")


def test_same_text_is_parsed_once_and_travels() -> None:
    first = Expression.parse("n > 1")
    assert Expression.parse("n > 1") is first
    assert pickle.loads(pickle.dumps(first)) == first
    assert len({first, Expression.parse("n > 1"), Expression.parse("n > 2")}) == 2


def test_unknown_dialect_is_refused() -> None:
    with pytest.raises(ExpressionError, match="'sqlite' is not a dialect"):
        Expression.parse("n").sql("sqlite", SCHEMA)  # type: ignore[arg-type]
