"""Reading queries: text and JSON, times and zones, names that do not exist, values that look like SQL."""

from __future__ import annotations

from typing import Any

import pytest

from mercury.analytics import MetricQuery, parse_query
from mercury.errors import ExpressionError, MercuryError, NotFoundError, UsageError
from mercury.time import parse_instant
from tests.analytics.world import model


def test_a_query_names_metrics_groups_condition_order_and_limit() -> None:
    query = parse_query(
        "flights, late_rate by carrier, day where origin = 'JFK' and time >= '2013-03-10' "
        "order by flights desc, day limit 5",
        model,
    )

    assert query.metrics == ("flights", "late_rate")
    assert query.by == ("carrier", "day")
    assert query.where == "(\"origin\" = 'JFK')"
    # Midnight in New York, on the day that clocks go forward.
    assert query.start == parse_instant("2013-03-10T05:00:00Z")
    assert query.end is None
    assert query.order == (("flights", True), ("day", False))
    assert query.limit == 5


@pytest.mark.parametrize(
    ("condition", "start", "end"),
    [
        ("time >= '2013-03-10T06:00:00Z'", "2013-03-10T06:00:00Z", None),
        ("time < '2013-03-10 06:00'", None, "2013-03-10T10:00:00Z"),
        ("'2013-03-10' <= time and time <= '2013-03-10'", "2013-03-10T05:00:00Z", "2013-03-10T05:00:00.000001Z"),
        ("day = '2013-03-10'", "2013-03-10T05:00:00Z", "2013-03-11T04:00:00Z"),
        ("day > '2013-03-10'", "2013-03-11T04:00:00Z", None),
        ("week = '2013-11-04'", "2013-11-04T05:00:00Z", "2013-11-11T05:00:00Z"),
        ("month between '2013-01-01' and '2013-02-01'", "2013-01-01T05:00:00Z", "2013-03-01T05:00:00Z"),
        ("quarter <= '2013-10-01'", None, "2014-01-01T05:00:00Z"),
        ("year < '2013-01-01'", None, "2013-01-01T05:00:00Z"),
        ("hour = '2013-11-03 01:00'", "2013-11-03T05:00:00Z", "2013-11-03T06:00:00Z"),
    ],
)
def test_time_and_grains_narrow_the_range_in_the_zone_of_the_model(
    condition: str, start: str | None, end: str | None
) -> None:
    query = parse_query(f"flights where {condition}", model)

    assert (query.start, query.end) == tuple(None if text is None else parse_instant(text) for text in (start, end))
    assert query.where is None


def test_json_and_text_say_the_same() -> None:
    text = parse_query(
        "flights by carrier where origin in ('JFK', 'EWR') and time < '2013-04-01' order by flights desc", model
    )
    data = {
        "metrics": ["flights"],
        "by": ["carrier"],
        "filters": [{"field": "origin", "values": ["JFK", "EWR"]}],
        "to": "2013-04-01",
        "order": ["-flights"],
    }

    assert MetricQuery.from_json(data, model) == text
    assert MetricQuery.from_json({"query": "flights"}, model) == parse_query("flights", model)


@pytest.mark.parametrize(
    "value",
    [
        "JFK'; DROP TABLE flights; --",
        "' OR 1=1 --",
        "a''b",
        '"; COPY x TO y; "',
        "\\' OR TRUE",
        "line\nbreak",
        "{user}",
        "$1 ? :name %s",
    ],
)
def test_sql_in_a_filter_value_is_one_literal(value: str) -> None:
    from mercury.expressions import Expression

    query = MetricQuery.from_json({"metrics": ["flights"], "filters": [{"field": "origin", "value": value}]}, model)

    assert query.where is not None
    tree = Expression.parse(query.where).tree
    assert (tree.op, tree.args[1].op, tree.args[1].value) == ("=", "literal", value)
    quoted = value.replace("'", "''")
    assert parse_query(f"flights where origin = '{quoted}'", model).where == query.where


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("fligths", NotFoundError, "'air' has no metric 'fligths' (metrics). Did you mean 'flights'?"),
        ("flights by orign", NotFoundError, "'air' has no dimension 'orign' (by). Did you mean 'origin'?"),
        ("flights where orign = 'JFK'", ExpressionError, "no dimension 'orign' (where). Did you mean 'origin'?"),
        ("carrier", UsageError, "'carrier' is no metric but something to group by"),
        ("flights where flights > 3", UsageError, "'flights' is a metric: rows are chosen by dimensions and time"),
        ("flights where origin = 3", ExpressionError, ""),
        ("flights where origin", ExpressionError, "is of type string, not a condition"),
        ("flights by day, month", UsageError, "two calendar units"),
        ("flights, flights", UsageError, "'flights' is named twice"),
        ("flights by carrier, carrier", UsageError, "'carrier' is named twice"),
        ("", UsageError, "no metric is asked for"),
        ("by carrier", UsageError, "no metric is asked for"),
        ("flights by", UsageError, "there is nothing after 'by'"),
        ("flights where", UsageError, "there is nothing after 'where'"),
        ("flights limit 0", UsageError, "limit=0"),
        ("flights limit many", UsageError, "limit 'many' is not a number"),
        ("flights limit 3 by carrier", UsageError, "'by' is not expected after 'limit'"),
        ("flights order by carrier", UsageError, "'carrier' is no column of the answer"),
        ("flights order by flights up", UsageError, "cannot be read"),
        ("flights where time is null", UsageError, "no plain range"),
        ("flights where time >= '2013-01-01' or origin = 'JFK'", UsageError, "no plain range"),
        ("flights where time >= 'yesterday'", UsageError, "'yesterday' is not a time"),
        ("flights where month = '2013-02-03'", UsageError, "is not the first day of a month"),
        ("flights where week = '2013-01-01'", UsageError, "is not the first day of a week"),
        ("flights where hour = '2013-01-01 00:30'", UsageError, "no beginning of a hour"),
        ("flights; drop table x", UsageError, "is not a name"),
        ("flights where origin = 'JFK'; drop table x", ExpressionError, "not one expression"),
        ("flights where (select 1) = 1", ExpressionError, "a query is not an expression"),
    ],
)
def test_a_query_that_cannot_be_is_refused_with_the_next_step(
    text: str, error: type[MercuryError], message: str
) -> None:
    with pytest.raises(error) as caught:
        parse_query(text, model)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"metrics": ["flights"], "groupby": ["carrier"]}, "'groupby' is not a field of a query"),
        ({"metrics": "flights", "by": 3}, "by is not a list"),
        ({"metrics": ["flights"], "filters": [{"field": "origin", "op": "~", "value": 1}]}, "'~' is not an operator"),
        ({"metrics": ["flights"], "filters": [{"field": "origin", "op": "=", "values": [1, 2]}]}, "takes 1 values"),
        ({"metrics": ["flights"], "filters": [{"field": "origin", "values": []}]}, "is empty"),
        ({"metrics": ["flights"], "filters": [{"field": "origin", "value": None}]}, "Use 'is null'"),
        ({"metrics": ["flights"], "filters": ["origin = 'JFK'"]}, "is not a filter"),
        ({"metrics": ["flights"], "timezone": "Mars/Olympus"}, "is not a time zone"),
        ({"metrics": ["flights"], "limit": True}, "limit=True"),
        ({"query": "flights", "by": ["carrier"]}, "'query' and 'by' were given"),
        ({"query": 3}, "query is 3, not a text"),
        ({"metrics": ["f" * 900_000]}, "with 900000 characters is not a name"),
        ({"metrics": ["flights"], "order": ["flights"] * 20_000}, "order has 20000 entries. Give at most 100"),
        ({"metrics": ["flights"], "filters": [{"field": "origin", "value": "x"}] * 101}, "filters has 101 entries"),
        ({"metrics": ["flights"], "filters": [{"field": "origin", "values": ["x"] * 1001}]}, "values has 1001 entries"),
        ({"metrics": ["flights"], "filters": ["x" * 500_000]}, "xxx… is not a filter"),
        ({}, "no metric is asked for"),
    ],
)
def test_json_that_is_no_query_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(MercuryError) as caught:
        MetricQuery.from_json(data, model)

    assert message in str(caught.value)
