"""Profiles: the same counts however rows are split, by the kernel, by plain look-up and by the summaries' engines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury import summaries
from mercury.errors import CorruptDataError, NotFoundError, SchemaError, SpecMismatchError, UsageError
from mercury.observability import ParquetColumns, Profile, Reference, learn, merge, profile, reference_profile
from mercury.observability.profiles import profile_specs, slot_numbers
from mercury.observability.reference import Categories, Numbers, column_of
from mercury.summaries import SCALARS
from tests.observability.tables import AWKWARD, table, tables


@given(tables(), tables())
@settings(max_examples=150, deadline=None)
def test_the_kernel_counts_what_a_plain_look_up_counts(learnt: pa.Table, rows: pa.Table) -> None:
    reference = reference_profile(learnt)

    found = profile(rows, reference)

    for column in reference.columns:
        slots = slot_numbers(column, column_of(rows, column.name))
        np.testing.assert_array_equal(found[column.name].counts, np.bincount(slots, minlength=column.slots))


@given(tables(), st.lists(tables(20), min_size=1, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_merged_parts_are_the_profile_of_all_rows_in_any_order(learnt: pa.Table, parts: list[pa.Table], random) -> None:  # type: ignore[no-untyped-def]
    reference = reference_profile(learnt)
    whole = profile(pa.concat_tables(parts), reference)
    profiles = [profile(part, reference) for part in parts]
    random.shuffle(profiles)

    one_by_one = profiles[0]
    for other in profiles[1:]:
        one_by_one = merge([other, one_by_one])

    assert merge(profiles).equals(whole)
    assert one_by_one.equals(whole)


@pytest.mark.parametrize("engine", ["arrow", "duckdb"])
def test_engines_of_summaries_give_the_same_state(engine: str, flights: pa.Table) -> None:
    rows = flights.select(["dep_delay", "carrier", "distance"]).slice(0, 20_000)
    reference = reference_profile(rows.slice(0, 5_000))
    long = pa.concat_tables(_long(column, rows) for column in reference.columns)

    found = profile(rows, reference)

    for name, spec in profile_specs(reference.hash).items():
        theirs = summaries.partial(spec, long, engine=engine)  # type: ignore[arg-type]
        mine = getattr(found, name).sorted().tables[SCALARS]
        assert mine.schema == theirs.tables[SCALARS].schema
        for field in mine.schema:
            a, b = mine[field.name], theirs.sorted().tables[SCALARS][field.name]
            if pa.types.is_floating(field.type):
                assert a.is_null().equals(b.is_null())
                np.testing.assert_allclose(a.fill_null(0).to_numpy(), b.fill_null(0).to_numpy(), rtol=1e-9)
            else:
                assert a.equals(b), field.name


@pytest.mark.parametrize("learnt", AWKWARD)
def test_the_kernel_counts_columns_of_many_blocks_as_a_plain_look_up_does(learnt: str) -> None:
    reference = reference_profile(pa.table({"x": AWKWARD[learnt]}))
    column = reference["x"]
    for values in AWKWARD.values():
        rows = pa.chunked_array([values[:5_000], values[5_000:]])
        found = profile(pa.table({"x": rows}), reference)["x"]
        slots, finite = slot_numbers(column, rows), np.isfinite(values)

        np.testing.assert_array_equal(found.counts, np.bincount(slots, minlength=column.slots))
        kept = values[finite]
        with np.errstate(over="ignore", invalid="ignore"):
            sums = np.bincount(slots[finite], weights=kept, minlength=column.slots)
            np.testing.assert_allclose(found.totals, sums, rtol=1e-9, atol=1e-9)
            if len(kept):
                assert (found.least, found.greatest) == (kept.min(), kept.max())
                assert found.mean == pytest.approx(kept.mean(), rel=1e-9, abs=1e-9, nan_ok=True)
                if np.abs(kept).max() < 1e100:
                    assert found.m2 == pytest.approx(((kept - kept.mean()) ** 2).sum(), rel=1e-9)


def test_values_are_counted_in_bins_atoms_tails_and_apart() -> None:
    learnt = np.r_[np.zeros(50), np.random.default_rng(1).exponential(10, 950)]
    reference = reference_profile(pa.table({"x": learnt}))
    rows = pa.table({"x": [0.0, -0.0, np.nan, None, np.inf, -np.inf, -1.0, 1e9]})

    found = profile(rows, reference)["x"]
    held = {found.column.name_of(int(slot)): int(found.counts[slot]) for slot in np.flatnonzero(found.counts)}

    assert reference["x"].atoms == (0.0,)
    assert held["= 0"] == 2 and held["missing"] == 2 and held["inf"] == 1 and held["-inf"] == 1
    assert found.nan == 1 and found.missing == 2 and found.infinite == 2
    assert (found.least, found.greatest) == (-1.0, 1e9)
    assert sum(held.values()) == found.rows == 8


def test_no_bin_but_an_exact_one_holds_more_than_its_share_of_the_reference(flights: pa.Table) -> None:
    for name in ("dep_delay", "distance", "air_time"):
        reference = reference_profile(flights, [name])
        counted = profile(flights, reference)[name]
        assert isinstance(counted.column, Numbers)
        wide = counted.counts[~counted.column.exact]
        assert wide.max() <= flights.num_rows / 1024 * 2


def test_mean_and_squares_are_those_of_the_finite_values() -> None:
    random = np.random.default_rng(2)
    values = np.r_[random.normal(1e6, 1.0, 100_000), np.inf, np.nan]
    found = profile(pa.table({"x": values}), reference_profile(pa.table({"x": values})))["x"]

    assert found.mean == pytest.approx(values[:-2].mean(), rel=1e-12)
    assert found.m2 == pytest.approx(((values[:-2] - values[:-2].mean()) ** 2).sum(), rel=1e-6)
    assert found.totals.sum() == pytest.approx(values[:-2].sum(), rel=1e-12)


def test_moments_of_parts_merge_to_those_of_all_rows() -> None:
    random = np.random.default_rng(4)
    rows = pa.table({"x": random.normal(1e4, 3.0, 24_000), "y": random.lognormal(0, 1, 24_000)})
    reference, whole = learn(rows)
    merged = merge([profile(rows.slice(at, 1_000), reference) for at in range(0, 24_000, 1_000)])

    for name in ("x", "y"):
        values = rows[name].to_numpy()
        for found in (whole[name], merged[name]):
            assert found.mean == pytest.approx(values.mean(), rel=1e-12)
            assert found.m2 == pytest.approx(values.var() * len(values), rel=1e-9)
            assert found.totals.sum() == pytest.approx(values.sum(), rel=1e-12)


def test_unseen_categories_and_nulls_have_slots_of_their_own() -> None:
    reference = reference_profile(table([(0.0, "a"), (0.0, "b")]))
    found = profile(table([(0.0, "a"), (0.0, "new"), (0.0, None), (0.0, "newer")]), reference)["s"]

    assert found.counts.tolist() == [1, 0, 2, 1]
    assert (found.unseen, found.missing) == (2, 1)


@pytest.mark.parametrize(
    "values", [pa.nulls(5, pa.float64()), pa.array([7.0] * 5), pa.array([], pa.float64()), pa.nulls(5)]
)
def test_a_constant_an_empty_and_an_all_null_column_have_references(values: pa.Array) -> None:
    reference = reference_profile(pa.table({"x": values}))
    found = profile(pa.table({"x": [7.0, None, 8.0]}), reference)["x"]

    assert found.rows == 3 and found.missing == 1
    assert Reference.from_dict(json.loads(json.dumps(reference.to_dict()))).hash == reference.hash


def test_types_are_brought_to_numbers_and_text() -> None:
    rows = pa.table(
        {
            "flag": [True, False, None],
            "small": pa.array([1, 2, None], pa.int8()),
            "coded": pa.array(["a", "b", None]).dictionary_encode(),
            "large": pa.array(["a", None, "c"], pa.large_string()),
            "single": pa.array([0.1, None, 2.0], pa.float32()),
        }
    )
    reference = reference_profile(rows)
    found = profile(rows, reference)

    assert [type(column) for column in reference.columns] == [Numbers, Numbers, Categories, Categories, Numbers]
    assert all(found[name].missing == 1 and found[name].rows == 3 for name in reference.names)


@pytest.mark.parametrize("chunks", [1, 3])
def test_dictionaries_are_counted_as_the_text_that_they_stand_for(chunks: int) -> None:
    random = np.random.default_rng(3)
    words = pa.array(["a", "b", "Ω", None, "", "zz"])
    parts = [words.take(pa.array(random.integers(part, 6, 400))) for part in range(chunks)]
    plain = pa.table({"s": pa.chunked_array(parts)})
    index = pa.uint8() if chunks == 1 else pa.int32()
    coded = pa.chunked_array([part.dictionary_encode().cast(pa.dictionary(index, pa.string())) for part in parts])

    reference, then = learn(plain)
    assert learn(pa.table({"s": coded}))[0].hash == reference.hash
    assert profile(pa.table({"s": coded}), reference).equals(then)
    unused = pa.DictionaryArray.from_arrays(pa.array([0, None, 0]), pa.array(["a", "never", None]))
    assert reference_profile(pa.table({"s": unused}))["s"].to_dict()["categories"] == ["a"]
    assert profile(pa.table({"s": unused}), reference)["s"].missing == 1


def test_a_reference_and_its_own_profile_are_learnt_together(flights: pa.Table) -> None:
    rows = flights.select(["dep_delay", "carrier", "distance"])
    reference, then = learn(rows, ["carrier", "dep_delay"], atom_share=0.02)

    assert reference == reference_profile(rows, ["carrier", "dep_delay"], atom_share=0.02)
    assert then.equals(profile(rows, reference))
    with pytest.raises(UsageError, match=r"atom_share=0\.7"):
        learn(rows, atom_share=0.7)


def test_a_parquet_file_is_profiled_as_its_table(tmp_path: Path, flights: pa.Table) -> None:
    rows = flights.select(["dep_delay", "carrier", "tailnum", "distance"])
    pq.write_table(rows, tmp_path / "flights.parquet", row_group_size=100_000)
    file = ParquetColumns(tmp_path / "flights.parquet")
    reference, then = learn(file)

    assert pa.types.is_dictionary(file["carrier"].type)
    assert (reference, file.column_names) == (reference_profile(rows), rows.column_names)
    assert then.equals(profile(rows, reference))
    with pytest.raises(SchemaError, match="no column 'dep_dealy'"):
        learn(file, ["dep_dealy"])
    with pytest.raises(NotFoundError, match="no file"):
        ParquetColumns(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("not at all")
    with pytest.raises(CorruptDataError, match="not a Parquet file"):
        ParquetColumns(tmp_path / "text.parquet")


def test_numbers_where_text_was_are_refused_and_nulls_of_another_type_are_missing() -> None:
    reference = reference_profile(table([(1.0, "a"), (2.0, "b")]))
    nothing = pa.table({"x": pa.nulls(3, pa.string()), "s": pa.nulls(3)})

    found = profile(nothing, reference)
    assert (found["x"].missing, found["s"].missing) == (3, 3)
    with pytest.raises(SpecMismatchError, match="'s' was text in the reference and is a number now"):
        profile(pa.table({"x": [1.0], "s": [1]}), reference)


def test_what_cannot_be_profiled_is_refused_with_its_name() -> None:
    rows = pa.table({"at": pa.array([0], pa.timestamp("us")), "delay": [1.0]})

    with pytest.raises(SchemaError, match=r"'at' has type timestamp\[us\]"):
        reference_profile(rows)
    with pytest.raises(SchemaError, match=r"no column 'dealy'\. Did you mean 'delay'"):
        reference_profile(rows, ["dealy"])
    with pytest.raises(UsageError, match=r"atom_share=0\.0"):
        reference_profile(rows, ["delay"], atom_share=0.0)
    with pytest.raises(SpecMismatchError, match="was a number in the reference and is text now"):
        profile(pa.table({"delay": ["late"]}), reference_profile(rows, ["delay"]))


def test_profiles_of_two_references_do_not_merge() -> None:
    one, other = table([(1.0, "a")]), table([(2.0, "a")])

    with pytest.raises(SpecMismatchError, match="do not merge"):
        merge([profile(one, reference_profile(one)), profile(one, reference_profile(other))])
    with pytest.raises(UsageError, match="nothing to merge"):
        merge([])


@given(tables())
@settings(max_examples=40, deadline=None)
def test_a_profile_and_its_reference_come_back_from_tables(rows: pa.Table) -> None:
    reference = reference_profile(rows)
    found = profile(rows, reference)

    again = Profile.from_tables(found.to_tables(), Reference.from_dict(json.loads(json.dumps(reference.to_dict()))))

    assert again.equals(found)


def test_tables_of_another_reference_are_refused() -> None:
    one, other = table([(1.0, "a")]), table([(2.0, "a")])
    tables_ = profile(one, reference_profile(one)).to_tables()

    with pytest.raises(SpecMismatchError):
        Profile.from_tables(tables_, reference_profile(other))


def _long(column: Numbers | Categories, rows: pa.Table) -> pa.Table:
    values = column_of(rows, column.name)
    number = isinstance(column, Numbers)
    finite = pc.if_else(pc.is_finite(values), values, None) if number else pa.nulls(len(values), pa.float64())
    return pa.table(
        {
            "column": pa.array([column.name] * len(values)),
            "slot": slot_numbers(column, values),
            "value": finite,
            "nan": pc.fill_null(pc.is_nan(values), False) if number else pa.array([False] * len(values)),
        }
    )
