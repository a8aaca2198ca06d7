"""Parquet files by DuckDB mean what the same rows mean in memory."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.definitions import Count, CountDistinct, Max, Mean, Min, Quantile, Sum
from mercury.errors import CorruptDataError, NotFoundError, SchemaError, UsageError
from mercury.summaries import SummarySpec, finish, partial
from tests.summaries.awkward import SPEC, TWO_KEYS, assert_agree, random_rows

NAN = pa.table(
    {
        "k": [1, 1, 1, 2, 2],
        "f": [1.0, float("nan"), 3.0, float("nan"), float("nan")],
        "e": pa.array([1.0, 2.0, float("nan"), None, -1.0], pa.float32()),
    }
)
NAN_SPEC = SummarySpec(
    {"odd": "isnan(f)", "k": "k"},
    {
        "large": Count(where="f > 5"),
        "largest": Max("f"),
        "greatest": Max("greatest(f, 2)"),
        "missing": Count(where="isnan(e)"),
        "sum": Sum("f"),
        "mean": Mean("e"),
        "least": Min("coalesce(e, f)"),
        "kinds": CountDistinct("f", exact=True),
        "p": Quantile("f"),
        "seen": Count("f"),
    },
)


@pytest.mark.parametrize("where", [None, "f > 2", "isnan(f)", "NOT isnan(f)", "f >= 0 OR e < 5", "f > 100", "e = e"])
def test_nan_in_files_counts_as_in_memory(where: str | None, tmp_path: Path) -> None:
    # Parquet leaves NaN out of its statistics, and DuckDB believes them.
    file = tmp_path / "nan.parquet"
    pq.write_table(NAN, file, row_group_size=2)
    spec = SummarySpec(NAN_SPEC.keys, NAN_SPEC.aggregates, where=where)

    assert_agree(partial(spec, [str(file)], engine="duckdb"), partial(spec, NAN))


def test_duckdb_by_itself_still_misses_nan(tmp_path: Path) -> None:
    """Why the guard is there; when this fails, DuckDB has learnt, and the guard may go."""
    file = tmp_path / "nan.parquet"
    pq.write_table(NAN, file)

    (found,) = duckdb.sql(f"SELECT count(*) FROM '{file}' WHERE f > 5").fetchall()

    assert found == (0,)


def test_awkward_rows_in_several_files_are_one_set_of_rows(tmp_path: Path) -> None:
    rows = random_rows(6_000, seed=41)
    files = [str(tmp_path / f"part [{place}] it's.parquet") for place in range(3)]
    for place, file in enumerate(files):
        pq.write_table(rows.slice(place * 2_000, 2_000), file, row_group_size=500)

    for spec in (SPEC, TWO_KEYS):
        assert_agree(partial(spec, files, engine="duckdb"), partial(spec, rows))


def test_names_of_files_and_folders_are_taken_to_the_letter(tmp_path: Path) -> None:
    folder = tmp_path / "k=9"
    folder.mkdir()
    pq.write_table(pa.table({"k": [1]}), folder / "a*.parquet")
    pq.write_table(pa.table({"k": [2]}), folder / "ab.parquet")

    state = partial(SummarySpec(["k"], {"n": Count()}), [str(folder / "a*.parquet")], engine="duckdb")

    assert finish(state).to_pylist() == [{"k": 1, "n": 1}]


def test_columns_that_nobody_reads_may_be_of_any_type(tmp_path: Path) -> None:
    rows = pa.table({"k": [1, 1], "odd": pa.array([np.float16(1), None], pa.float16()), "deep": [[{"a": 1}], None]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    spec = SummarySpec(["k"], {"n": Count()})

    for state in (
        partial(spec, rows),
        partial(spec, rows, engine="duckdb"),
        partial(spec, [str(tmp_path / "rows.parquet")], engine="duckdb"),
    ):
        assert finish(state).to_pylist() == [{"k": 1, "n": 2}]


def test_files_of_two_schemas_are_refused(tmp_path: Path) -> None:
    files = []
    for name, rows in {
        "a": {"x": [1], "y": [1]},
        "b": {"x": [1], "y": ["1"]},
        "c": {"x": [1.5]},
        "d": {"z": [1]},
    }.items():
        files.append(str(tmp_path / f"{name}.parquet"))
        pq.write_table(pa.table(rows), files[-1])
    spec = SummarySpec([], {"x": Sum("x")})

    assert finish(partial(spec, files[:2], engine="duckdb")).to_pylist() == [{"x": 2}]
    with pytest.raises(SchemaError, match=r"the column 'x' is int64 in a.parquet and double here \(.*c.parquet\)"):
        partial(spec, [files[0], files[2]], engine="duckdb")
    with pytest.raises(SchemaError, match=r"the column 'x' is int64 in a.parquet and missing here \(.*d.parquet\)"):
        partial(spec, [files[0], files[3]], engine="duckdb")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    spec = SummarySpec(["k"], {"n": Max("f")})
    text = tmp_path / "text.parquet"
    text.write_text("PAR1 is not enough")
    cut = tmp_path / "cut.parquet"
    pq.write_table(random_rows(1_000, seed=42), cut, compression="none")
    whole = cut.read_bytes()
    cut.write_bytes(whole[:4] + bytes(2_000) + whole[2_004:])

    with pytest.raises(NotFoundError, match=r"no file '.*missing.parquet'"):
        partial(spec, [str(tmp_path / "missing.parquet")], engine="duckdb")
    with pytest.raises(CorruptDataError, match=r"this is no Parquet file \(.*text.parquet\)"):
        partial(spec, [str(text)], engine="duckdb")
    with pytest.raises(CorruptDataError, match=r"DuckDB cannot read the rows: .* \(.*cut.parquet\)"):
        partial(SummarySpec(["g"], {"n": Max("f")}), [str(cut)], engine="duckdb")


def test_what_is_no_list_of_files_is_refused(tmp_path: Path) -> None:
    spec = SummarySpec([], {"n": Count()})

    with pytest.raises(NotFoundError, match="there are no files to summarise"):
        partial(spec, [], engine="duckdb")
    for rows in ("a.parquet", [Path("a.parquet")], 5):
        with pytest.raises(UsageError, match="is not a list of Parquet files"):
            partial(spec, rows, engine="duckdb")  # type: ignore[arg-type]
