"""The algebra: merging is associative and commutative, `empty` changes nothing, one pass equals many."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.definitions import Count
from mercury.errors import SpecMismatchError
from mercury.summaries import Summary, SummarySpec, empty, finish, from_ipc, merge, partial, to_ipc
from tests.summaries.awkward import NO_KEYS, SCHEMA, SPEC, TWO_KEYS, assert_agree, assert_same, random_rows, tables

SPECS = pytest.mark.parametrize("spec", [SPEC, TWO_KEYS, NO_KEYS], ids=["everything", "several keys", "no keys"])
ROUNDED = {"f_sum", "f_mean", "f_var", "i_std", "f_size", "f_squares", "i_squares"}
"""Answers that are floats which were added up."""

few = settings(max_examples=25, deadline=None)


@SPECS
@few
@given(tables(), tables(), tables())
def test_merge_is_associative(spec: SummarySpec, a: pa.Table, b: pa.Table, c: pa.Table) -> None:
    one, two, three = (partial(spec, rows) for rows in (a, b, c))

    assert_agree(merge([merge([one, two]), three]), merge([one, merge([two, three])]))
    assert_agree(merge([one, two, three]), merge([merge([one, two]), three]))


@SPECS
@few
@given(tables(), tables())
def test_merge_is_commutative(spec: SummarySpec, a: pa.Table, b: pa.Table) -> None:
    one, two = partial(spec, a), partial(spec, b)

    assert_agree(merge([one, two]), merge([two, one]))


@SPECS
@few
@given(tables())
def test_empty_is_neutral_to_the_bit(spec: SummarySpec, rows: pa.Table) -> None:
    state, nothing = partial(spec, rows), empty(spec, SCHEMA)

    assert merge([state, nothing]).equals(state)
    assert merge([nothing, state]).equals(state)
    assert merge([state]).equals(state)
    assert partial(spec, SCHEMA.empty_table()).equals(nothing)


@SPECS
@few
@given(tables(60), st.data())
def test_one_pass_equals_many_in_any_split_and_order(spec: SummarySpec, rows: pa.Table, data: st.DataObject) -> None:
    whole = partial(spec, rows)

    order = data.draw(st.permutations(range(rows.num_rows)))
    mixed = rows.take(pa.array(order, pa.int64()))
    cuts = sorted(data.draw(st.lists(st.integers(0, rows.num_rows), max_size=4)))
    parts = [
        partial(spec, mixed.slice(start, end - start))
        for start, end in zip([0, *cuts], [*cuts, rows.num_rows], strict=True)
    ]

    assert_agree(merge(parts), whole)
    exact = [name for name in finish(whole).column_names if name not in ROUNDED]
    assert_same(finish(merge(parts)).select(exact), finish(whole).select(exact))


def test_a_hundred_parts_equal_one_pass() -> None:
    rows = random_rows(20_000, seed=1)

    parts = [partial(SPEC, rows.slice(start, 200)) for start in range(0, rows.num_rows, 200)]

    assert_agree(merge(parts), partial(SPEC, rows))


def test_a_group_that_one_part_does_not_have_is_kept() -> None:
    spec = SummarySpec(["g"], {"n": Count()})
    merged = merge([partial(spec, pa.table({"g": pa.array([group], pa.string())})) for group in ("a", None, "b", "a")])

    assert finish(merged).to_pylist() == [{"g": "a", "n": 2}, {"g": "b", "n": 1}, {"g": None, "n": 1}]


def test_states_travel_as_bytes_between_partial_and_merge() -> None:
    rows = random_rows(500, seed=2)
    parts = [partial(SPEC, rows.slice(start, 100)) for start in range(0, 500, 100)]

    sent = [from_ipc(to_ipc(part), SPEC) for part in parts]

    assert merge(sent).equals(merge(parts))


def test_summaries_of_two_specs_do_not_merge() -> None:
    rows = pa.table({"g": ["a"]})
    one, other = (partial(SummarySpec(["g"], {name: Count()}), rows) for name in ("n", "m"))

    with pytest.raises(SpecMismatchError, match="do not merge"):
        merge([one, other])


def test_equality_sees_every_bit() -> None:
    state = partial(SPEC, random_rows(50, seed=3))
    scalars = state.tables["scalars"]
    changed = scalars.set_column(1, "rows", pa.array([1] * scalars.num_rows))

    assert state.equals(Summary(SPEC, {name: table.slice(0) for name, table in state.tables.items()}))
    assert not state.equals(Summary(SPEC, {**state.tables, "scalars": changed}))
