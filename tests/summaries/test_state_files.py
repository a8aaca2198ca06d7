"""States as bytes: golden, canonical, and refused when damaged."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.definitions import Count, CountDistinct, First, Mean, Min, Quantile, Sum, TopK, Variance
from mercury.errors import CorruptDataError, SpecMismatchError
from mercury.summaries import SummarySpec, empty, finish, from_ipc, merge, partial, to_ipc
from tests.summaries.awkward import NO_KEYS, SCHEMA, SPEC, TWO_KEYS, random_rows

GOLDEN = Path(__file__).with_name("golden_state.bin")
"""`to_ipc` of `STATE`. Bytes of another release must stay readable: never write this file anew for the same format."""

GOLDEN_SPEC = SummarySpec(
    {"carrier": "carrier", "late": "delay > 15"},
    {
        "flights": Count(),
        "miles": Sum("miles", where="carrier <> 'B6'"),
        "mean": Mean("delay"),
        "variance": Variance("delay"),
        "least": Min("delay"),
        "first": First("tail"),
        "planes": CountDistinct("tail", precision=8),
        "exact": CountDistinct("tail", exact=True),
        "p90": Quantile("delay", 0.9),
        "top": TopK("tail", 2),
    },
    time="at",
    where="miles > 0",
)
ROWS = pa.table(
    {
        "carrier": ["UA", "UA", "B6", None, "UA", "é"],
        "delay": [3.5, 20.0, None, float("nan"), 1.25, -0.0],
        "miles": [1400, 1416, 1089, 200, 0, 719],
        "tail": ["N1", "N2", None, "N1", "N9", "N1"],
        "at": pa.array([-5, 7, 3, None, 1, 2], pa.timestamp("us", tz="UTC")),
    }
)


def test_the_bytes_are_golden() -> None:
    state = partial(GOLDEN_SPEC, ROWS)

    assert to_ipc(state) == GOLDEN.read_bytes()
    assert from_ipc(GOLDEN.read_bytes(), GOLDEN_SPEC).equals(state)
    assert finish(from_ipc(GOLDEN.read_bytes(), GOLDEN_SPEC)).equals(finish(state))


def test_the_hash_of_a_spec_is_golden() -> None:
    assert GOLDEN_SPEC.hash == "0cf3cc0c543549da"
    assert SummarySpec(["g"], {"n": Count()}).hash == "8f05e530e8b5edbc"


def test_the_hash_says_what_a_state_means() -> None:
    def changed(**options: object) -> str:
        given = {"keys": ["g"], "aggregates": {"n": Count("x")}, "time": "t", "where": "x > 0", **options}
        return SummarySpec(**given).hash  # type: ignore[arg-type]

    other = [
        changed(keys=["h"]),
        changed(keys={"g": "h"}),
        changed(keys=["g", "h"]),
        changed(aggregates={"m": Count("x")}),
        changed(aggregates={"n": Sum("x")}),
        changed(aggregates={"n": Count("x", where="x > 1")}),
        changed(aggregates={"n": Count("x"), "m": Count()}),
        changed(time="u"),
        changed(time=None),
        changed(where=None),
    ]
    assert len({changed(), *other}) == len(other) + 1
    assert changed(keys={"g": "g"}) == changed()


@pytest.mark.parametrize("spec", [SPEC, TWO_KEYS, NO_KEYS], ids=["everything", "several keys", "no keys"])
def test_what_is_read_is_what_was_written(spec: SummarySpec) -> None:
    for state in (partial(spec, random_rows(400, seed=31)), empty(spec, SCHEMA)):
        back = from_ipc(to_ipc(state), spec)

        assert back.equals(state)
        assert {name: table.schema for name, table in back.tables.items()} == spec.state_schema(SCHEMA)


@pytest.mark.parametrize("spec", [SPEC, TWO_KEYS, NO_KEYS], ids=["everything", "several keys", "no keys"])
def test_equal_states_give_equal_bytes_however_they_came_about(spec: SummarySpec) -> None:
    # Whole numbers, so that sums do not depend on their order; NaN and nulls in plenty.
    rows = random_rows(300, seed=32)
    floats = pa.array([value if value is None or value != value else round(value) % 8.0 for value in _finite(rows)])
    rows = rows.set_column(2, "f", floats)
    exact = SummarySpec(
        spec.columns,
        {name: each for name, each in spec.aggregates.items() if name not in ("f_var", "i_std")},
        spec.time,
        spec.where,
    )
    parts = [partial(exact, rows.slice(start, 50)) for start in (250, 0, 100, 50, 200, 150)]
    whole = partial(exact, rows)
    states = [whole, merge(parts), merge([merge(parts[:2]), merge(parts[2:])]), from_ipc(to_ipc(whole), exact)]
    states += [partial(exact, rows, engine="duckdb"), partial(exact, rows.take(pa.array(range(299, -1, -1))))]

    assert len({hashlib.sha256(to_ipc(state)).hexdigest() for state in states}) == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_changed_byte_goes_unseen(data: st.DataObject) -> None:
    good = GOLDEN.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    flip = data.draw(st.integers(1, 255))
    bad = bytearray(good)
    bad[place] ^= flip

    with pytest.raises(CorruptDataError, match=r"not a summary|summary format|is damaged"):
        from_ipc(bytes(bad), GOLDEN_SPEC)


@pytest.mark.parametrize("cut", [0, 1, 15, 16, 17, 18, 30, 100, -1])
def test_bytes_cut_short_are_refused(cut: int) -> None:
    with pytest.raises(CorruptDataError, match=r"Recompute it from its rows"):
        from_ipc(GOLDEN.read_bytes()[:cut], GOLDEN_SPEC)


@pytest.mark.parametrize("junk", [b"", b"\n", b"PAR1", b"mercury-summary ", b"mercury-summary x y z"])
def test_other_bytes_are_not_a_summary(junk: bytes) -> None:
    with pytest.raises(CorruptDataError, match="these bytes are not a summary"):
        from_ipc(junk, GOLDEN_SPEC)


def test_a_later_format_is_refused() -> None:
    later = GOLDEN.read_bytes().replace(b"mercury-summary 1 ", b"mercury-summary 2 ", 1)

    with pytest.raises(CorruptDataError, match=r"summary format 2 is not 1\. Upgrade Mercury"):
        from_ipc(later, GOLDEN_SPEC)


def test_the_state_of_another_spec_is_refused() -> None:
    other = SummarySpec(["g"], {"n": Count()})

    with pytest.raises(SpecMismatchError, match=f"the state is of spec {GOLDEN_SPEC.hash}, not {other.hash}"):
        from_ipc(GOLDEN.read_bytes(), other)


def _finite(rows: pa.Table) -> list[float | None]:
    return [None if value in (float("inf"), float("-inf")) else value for value in rows["f"].to_pylist()]
