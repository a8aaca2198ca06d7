"""Rollups: builds that add, builds that start anew, and why a query passes one over."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from mercury import Count, Project, Sum
from mercury.analytics import Planner, build_rollups
from mercury.analytics.plan import Costs
from mercury.analytics.tail import beyond
from mercury.config import Settings
from mercury.definitions import Rollup
from mercury.errors import DataError, DefinitionError, NotFoundError, TableNotFoundError, UsageError
from mercury.tables import Table
from mercury.time import parse_instant
from tests.analytics.test_routes_agree import ROLLUPS_FIRST
from tests.analytics.world import Feed, Oracle, events, model, project, random_events, same, settings_in

ROWS = random_events(7, 4000, "2013-07-01", "2013-07-11")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def feed(settings: Settings) -> Feed:
    feed = Feed(settings)
    feed.commit(ROWS.slice(0, 3000))
    return feed


def check(settings: Settings, rows: pa.Table, text: str, *routes: str) -> Planner:
    """Assert that an answer is right and came by one of these routes."""
    planner = Planner(project, settings, costs=ROLLUPS_FIRST)
    query = planner.read(text)
    answer = planner.answer(query)
    assert same(query, answer.table, Oracle(rows).answer(query)) is None
    assert answer.explain.route in routes
    return planner


def test_a_build_adds_the_cells_of_new_rows_until_they_are_many(settings: Settings, feed: Feed, tmp_path: Path) -> None:
    (first,) = build_rollups(project, settings, "air", "daily")
    feed.commit(ROWS.slice(3000, 40))
    (second,) = build_rollups(project, settings, "air", "daily")
    check(settings, ROWS.slice(0, 3040), "flights, planes, spread by day", "rollup daily")
    feed.commit(ROWS.slice(3040))
    (third,) = build_rollups(project, settings, "air", "daily")
    (fourth,) = build_rollups(project, settings, "air", "daily")

    assert [build.how for build in (first, second, third, fourth)] == ["whole", "added", "added", "current"]
    # The cells of the third build were merged: there are as many as a whole build has.
    other = settings_in(tmp_path / "other")
    Feed(other).commit(ROWS)
    assert third.cells == build_rollups(project, other, "air", "daily")[0].cells
    check(settings, ROWS, "flights, planes, spread, last_plane by day, carrier", "rollup daily")


def test_rows_after_the_build_come_from_the_tail_and_answers_say_the_epoch(settings: Settings, feed: Feed) -> None:
    build_rollups(project, settings, "air", "daily")
    epoch = feed.commit(ROWS.slice(3000))

    planner = check(settings, ROWS, "flights, mean_delay by carrier", "rollup daily + live tail")
    explain = planner.answer("flights").explain

    assert (explain.epoch, explain.version) == (epoch, 2)
    tail = explain.to_dict()["parts"][1]
    # Files of before the build are ruled out by their offsets, not only their rows.
    assert (tail["kind"], tail["reads"]) == ("tail", ROWS.num_rows - 3000)


def test_topics_of_hundreds_of_partitions_are_followed(settings: Settings) -> None:
    feed = Feed(settings, partitions=300)
    feed.commit(ROWS.slice(0, 2000))
    build_rollups(project, settings, "air", "daily")
    feed.offsets[900] = 0
    feed.commit(ROWS.slice(2000, 700))
    feed.compact()
    check(settings, ROWS.slice(0, 2700), "flights, planes by day", "rollup daily + live tail")
    (built,) = build_rollups(project, settings, "air", "daily")
    feed.commit(ROWS.slice(2700))

    assert built.how == "added"
    check(settings, ROWS, "flights, planes, spread by day, carrier", "rollup daily + live tail")


def test_what_lies_beyond_offsets_is_told_for_known_new_and_left_out_partitions() -> None:
    rows = pa.table({"_partition": [0, 0, 1, 2, 3, 3, 7], "_offset": [4, 5, 99, 0, 1, 2, 0]})

    with duckdb.connect() as connection:
        found = connection.sql(f"SELECT _partition, _offset FROM rows WHERE {beyond({0: 5, 3: 2, 1: 100})}").fetchall()
        every = connection.sql(f"SELECT count(*) FROM rows WHERE {beyond({})}").fetchall()

    assert found == [(0, 5), (2, 0), (3, 2), (7, 0)]
    assert every == [(rows.num_rows,)]


def test_a_rollup_until_a_time_leaves_the_rest_to_raw_rows(settings: Settings, feed: Feed) -> None:
    build_rollups(project, settings, "air", "daily", until=parse_instant("2013-07-05T15:00:00Z"))

    planner = check(settings, ROWS.slice(0, 3000), "flights by hour where time < '2013-07-03'", "raw rows")
    check(settings, ROWS.slice(0, 3000), "flights by day", "rollup daily + raw rows")
    (part,) = [part for part in planner.answer("flights").explain.parts if part.kind == "rollup"]
    assert part.end == parse_instant("2013-07-05T04:00:00Z")


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("flights, late_rate by week where time >= '2013-07-02 22:00'", "rollup daily + rollup hourly"),
        ("flights, late_rate where time >= '2013-07-02 22:00'", "rollup daily + rollup hourly"),
        ("flights, late_rate where time < '2013-07-05 07:00'", "rollup daily + rollup hourly"),
        ("flights, late_rate where time >= '2013-07-02 22:00' and time < '2013-07-05 07:00'",
         "rollup daily + rollup hourly"),
    ],
)  # fmt: skip
def test_ends_of_a_range_come_from_finer_rollups_and_are_counted_once(
    settings: Settings, feed: Feed, text: str, route: str
) -> None:
    for name in ("daily", "hourly"):
        build_rollups(project, settings, "air", name)

    # As in a large table: few cells are better than many, and these than rows.
    planner = Planner(project, settings, costs=Costs(row=1e6, part=0.0))
    query = planner.read(text)
    answer = planner.answer(query)
    assert same(query, answer.table, Oracle(ROWS.slice(0, 3000)).answer(query)) is None
    assert answer.explain.route == route


def test_an_erasure_makes_a_rollup_stale(settings: Settings, feed: Feed) -> None:
    build_rollups(project, settings, "air", "daily")
    Table.open(feed.uri).erase("tail", ["N7", "N8"])
    left = pa.Table.from_pylist(
        [row for row in ROWS.slice(0, 3000).to_pylist() if row["tail"] not in ("N7", "N8")], schema=ROWS.schema
    )

    planner = check(settings, left, "flights, planes", "raw rows")
    assert "the log no longer says" in planner.answer("flights").explain.rollups["daily"]
    (built,) = build_rollups(project, settings, "air", "daily")
    assert built.how == "whole"
    check(settings, left, "flights, planes", "rollup daily")


def test_an_overwrite_makes_a_rollup_stale_and_says_which_version(settings: Settings, feed: Feed) -> None:
    build_rollups(project, settings, "air", "daily")
    table = Table.open(feed.uri)
    table.overwrite(table.read(where="carrier = 'UA'"))

    explain = Planner(project, settings, costs=ROLLUPS_FIRST).answer("flights").explain

    assert explain.rollups["daily"] == "version 2 of its source changed rows (WRITE); build it again"
    assert explain.route == "raw rows"


def test_another_definition_needs_another_build(settings: Settings, feed: Feed) -> None:
    build_rollups(project, settings, "air", "daily")
    changed = replace(model, metrics={**model.metrics, "miles": Sum("seats * 2")})
    planner = Planner(Project("sky", [events, changed]), settings, costs=ROLLUPS_FIRST)

    assert planner.answer("flights").explain.rollups["daily"] == "it was built from another definition; build it again"
    (built,) = build_rollups(Project("sky", [events, changed]), settings, "air", "daily")
    assert built.how == "whole"
    assert planner.answer("flights, miles").explain.route == "rollup daily"


@pytest.mark.parametrize(
    ("text", "rollup", "reason"),
    [
        ("most by day", "hourly", "it does not keep metric 'most'"),
        ("planes by carrier", "hourly", "it does not keep metric 'planes', an exact distinct count of tail"),
        ("flights by plane", "daily", "group 'plane' is not among its dimensions"),
        ("flights where big", "hourly", "filter dimension 'big' is not among its dimensions"),
        ("flights by hour", "daily", "its cells (day) are coarser than hour"),
        ("flights where time >= '2013-07-02 01:00' and time < '2013-07-03 02:00'", "daily", "no whole day that it"),
        ("flights", "fine", "it is not built; run mercury rollups build"),
    ],
)
def test_explain_names_the_first_failed_check(
    settings: Settings, feed: Feed, text: str, rollup: str, reason: str
) -> None:
    for name in ("daily", "hourly"):
        build_rollups(project, settings, "air", name)

    explain = Planner(project, settings, costs=ROLLUPS_FIRST).answer(text).explain

    assert explain.rollups[rollup].startswith(reason)


def test_days_of_another_zone_and_hours_that_do_not_fit_are_passed_over(settings: Settings, feed: Feed) -> None:
    for name in ("daily", "hourly"):
        build_rollups(project, settings, "air", name)
    planner = Planner(project, settings, costs=ROLLUPS_FIRST)

    def reasons(zone: str) -> dict[str, str]:
        return dict(planner.answer({"metrics": ["flights"], "by": ["day"], "timezone": zone}).explain.rollups)

    assert reasons("Europe/Berlin")["hourly"] == "used"
    assert reasons("Europe/Berlin")["daily"] == "its days are those of America/New_York, not of Europe/Berlin"
    assert "do not fit clocks of Asia/Kolkata" in reasons("Asia/Kolkata")["hourly"]


def test_small_tables_are_read_raw_since_that_is_cheaper(settings: Settings, feed: Feed) -> None:
    build_rollups(project, settings, "air", "hourly")

    explain = Planner(project, settings).answer("flights by carrier, hour where carrier = 'UA'").explain

    assert explain.route in ("raw rows", "rollup hourly")
    assert explain.cost <= explain.raw_cost


def test_the_same_question_about_the_same_data_is_kept(settings: Settings, feed: Feed) -> None:
    planner = Planner(project, settings)
    first, second = planner.answer("flights by carrier"), planner.answer("flights by carrier")
    feed.commit(ROWS.slice(3000))
    third = planner.answer("flights by carrier")

    assert [answer.explain.cached for answer in (first, second, third)] == [False, True, False]
    assert second.table.equals(first.table) and not third.table.equals(first.table)


def test_an_answer_is_cut_at_its_limit_and_says_so(settings: Settings, feed: Feed) -> None:
    planner = Planner(project, settings)
    answer = planner.answer("flights by plane order by flights desc, plane limit 3")
    full = planner.answer("flights by plane")

    assert answer.truncated and not full.truncated
    assert answer.table.num_rows == 3
    counts = sorted(full.table["flights"].to_pylist(), reverse=True)
    assert answer.table["flights"].to_pylist() == counts[:3]


def test_no_rows_give_no_groups_and_without_groups_zero(settings: Settings, feed: Feed) -> None:
    planner = Planner(project, settings)

    assert planner.answer("flights by carrier where time < '2000-01-01'").table.num_rows == 0
    answer = planner.answer("flights, mean_delay, late_rate, p90 where time < '2000-01-01'")
    assert answer.table.to_pylist() == [{"flights": 0, "mean_delay": None, "late_rate": None, "p90": None}]
    assert answer.explain.route == "nothing to read"


def test_what_is_not_there_is_named(settings: Settings) -> None:
    with pytest.raises(TableNotFoundError, match=r"has no rows yet .* mercury stream run events"):
        Planner(project, settings).answer("flights")
    with pytest.raises(NotFoundError, match="Did you mean 'daily'"):
        build_rollups(project, settings, "air", "dayly")
    with pytest.raises(NotFoundError, match="Did you mean 'air'"):
        Planner(project, settings).answer("flights", model="airs")
    with pytest.raises(UsageError, match="has no rollups"):
        build_rollups(Project("sky", [events, replace(model, rollups={})]), settings, "air")


def test_hours_cannot_be_cells_where_clocks_move_by_half_of_one(settings: Settings) -> None:
    Feed(settings).commit(random_events(9, 100, "2013-01-01", "2013-12-01"))
    howe = replace(model, timezone="Australia/Lord_Howe", rollups={"hourly": Rollup("hour")})

    with pytest.raises(DefinitionError, match="changed within cells of hour"):
        build_rollups(Project("sky", [events, howe]), settings, "air")


def test_a_sum_beyond_64_bits_is_an_error_not_a_wrong_number(settings: Settings) -> None:
    big = random_events(5, 10, "2013-07-01", "2013-07-02")
    big = big.set_column(big.column_names.index("seats"), "seats", pa.array([2**61] * 10))
    Feed(settings).commit(big)
    spread = replace(model, metrics={"n": Count(), "s": Sum("seats")}, rollups={"hourly": Rollup("hour")})
    project = Project("sky", [events, spread])

    build_rollups(project, settings, "air")
    with pytest.raises(DataError, match="beyond 64 bits"):
        Planner(project, settings, costs=ROLLUPS_FIRST).answer("s")


def test_answers_are_of_one_epoch_while_epochs_and_builds_go_on(settings: Settings) -> None:
    feed = Feed(settings)
    feed.commit(ROWS.slice(0, 100))
    planner = Planner(project, settings, costs=ROLLUPS_FIRST, kept_answers=0)
    found: list[tuple[int | None, int, int, str]] = []
    failures: list[BaseException] = []
    ended = threading.Event()

    def ask() -> None:
        try:
            while not ended.is_set():
                answer = planner.answer("flights, planes")
                flights, planes = (answer.table[name][0].as_py() for name in ("flights", "planes"))
                found.append((answer.explain.epoch, flights, planes, answer.explain.route))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 17):
        feed.commit(ROWS.slice(100 * number, 100))
        if number % 4 == 1:
            build_rollups(project, settings, "air", "daily")
        if number % 6 == 0:
            feed.compact()
    ended.set()
    for thread in threads:
        thread.join(60)

    assert failures == []
    tails = ROWS["tail"].to_pylist()
    for epoch, flights, planes, route in found:
        assert epoch is not None and flights == 100 * (epoch + 1), (epoch, route)
        assert planes == len(set(tails[:flights]) - {None}), (epoch, route)
    assert len({epoch for epoch, *_ in found}) > 5
    assert any("live tail" in route for *_, route in found)
