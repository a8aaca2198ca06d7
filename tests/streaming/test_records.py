"""Record batches to columns: the numba kernel, the numpy twin and kafka-python itself read the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from mercury.errors import CorruptDataError
from mercury.streaming import records

GZIP, LZ4 = 1, 3
Row = tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]


def build(rows: list[Row], compression: int = 0) -> DefaultRecordBatch:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for offset, timestamp, key, value, headers in rows:
        assert builder.append(offset, timestamp, key, value, headers) is not None
    return DefaultRecordBatch(bytes(builder.build()))


def decode(batch: DefaultRecordBatch, kernel: records.Kernel) -> pa.RecordBatch:
    batch._maybe_uncompress()
    return records.decode_batch(
        memoryview(batch._buffer)[batch._pos :],
        batch.records_count,
        batch.base_offset,
        batch.first_timestamp,
        batch.max_timestamp,
        batch.timestamp_type,
        kernel,
    )


content = st.none() | st.binary(max_size=300)
batches = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(-1, 1 << 45),
        content,
        content,
        st.lists(st.tuples(st.text(max_size=3), content), max_size=2),
    ),
    min_size=1,
    max_size=20,
).map(
    # The first record of a batch has the offset delta 0; gaps come from compaction.
    lambda rows: [(sum(r[0] for r in rows[1 : i + 1]) + i, *row[1:]) for i, row in enumerate(rows)]
)


@settings(max_examples=150, deadline=None)
@given(batches, st.sampled_from([0, GZIP, LZ4]))
def test_all_readers_give_the_same_columns(rows: list[Row], compression: int) -> None:
    fast = decode(build(rows, compression), "numba")
    slow = decode(build(rows, compression), "numpy")
    reference = records.from_records(list(build(rows, compression)))

    fast.validate(full=True)
    assert fast.equals(slow)
    assert fast.column("offset").to_pylist() == [row[0] for row in rows]
    assert fast.column("key").to_pylist() == [row[2] for row in rows]
    assert fast.column("value").to_pylist() == [row[3] for row in rows]
    if all(row[1] >= 0 for row in rows):
        assert pa.Table.from_batches([fast]).equals(reference.combine_chunks())


@pytest.mark.parametrize("kernel", ["numba", "numpy"])
def test_a_batch_that_is_cut_short_is_corrupt(kernel: records.Kernel) -> None:
    batch = build([(0, 5, b"k", b"value", []), (1, 6, None, b"value", [])])
    payload = bytes(batch._buffer[batch._pos :])

    for length in range(len(payload)):
        with pytest.raises(CorruptDataError, match="2 records"):
            records.decode_batch(payload[:length], 2, 0, 5, 6, 0, kernel)


def test_the_brokers_time_counts_where_the_topic_says_so() -> None:
    batch = build([(0, 5, None, b"a", []), (1, 6, None, b"b", [])])
    payload = bytes(batch._buffer[batch._pos :])

    columns = records.decode_batch(payload, 2, 0, 5, 99, 1)

    assert columns.column("timestamp").cast(pa.int64()).to_pylist() == [99_000, 99_000]


def test_between_cuts_by_offset_where_offsets_have_gaps() -> None:
    table = records.concat([decode(build([(o, 5, None, b"%d" % o, []) for o in (0, 2, 3, 7)]), "numba")])

    assert records.between(table, 1, 7).column("offset").to_pylist() == [2, 3]
    assert records.between(table, 8, 9).num_rows == 0


def test_slices_may_begin_anywhere() -> None:
    data = np.frombuffer(b"abcdef", dtype=np.uint8)

    array = records.slices(data, np.array([4, 0, 2]), np.array([2, -1, 0]), pa.string())

    assert array.to_pylist() == ["ef", None, ""]
