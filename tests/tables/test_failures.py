"""Each failure is one clear error, and nothing of the failed work is visible."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from mercury.errors import CommitConflictError, CorruptDataError, DiskFullError, TableNotFoundError, UnavailableError
from mercury.tables import Table, Transaction
from mercury.tables.failures import explain

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": list(ids), "text": [f"n{i}" for i in ids]}, schema=SCHEMA)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    table = Table.create(tmp_path / "t", SCHEMA)
    table.append(rows(1, 2))
    return table


def in_a_process(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script apart from this process, since its limits cannot be taken back."""
    script = textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def test_data_files_without_a_log_are_a_half_written_table(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    pq.write_table(rows(1), folder / "part-0.parquet")

    with pytest.raises(CorruptDataError, match="data files but no table log"):
        Table.open(folder)
    assert not Table.exists(folder)

    table = Table.create(folder, SCHEMA)
    assert table.read().num_rows == 0
    assert table.vacuum("0s") == ["part-0.parquet"]


def test_empty_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(TableNotFoundError):
        Table.open(tmp_path)


def test_missing_data_file_is_named(table: Table) -> None:
    path = Path(table.files()[0])
    path.unlink()

    with pytest.raises(CorruptDataError, match=rf"names a file .*{path.name}.* that is not there"):
        table.read()


def test_cut_data_file_is_named(table: Table) -> None:
    path = Path(table.files()[0])
    path.write_bytes(path.read_bytes()[:-10])

    with pytest.raises(CorruptDataError, match=path.name):
        table.read()


@pytest.mark.parametrize("text", ["", "{not json", '{"add":{"path":'])
def test_broken_log_entry_is_one_error(table: Table, text: str) -> None:
    entry = Path(table.uri) / "_delta_log" / f"{1:020d}.json"
    entry.write_text(text)

    with pytest.raises(CorruptDataError) as caught:
        Table.open(table.uri).read()
    assert table.uri in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_missing_log_entry_is_one_error(table: Table) -> None:
    table.append(rows(3))
    (Path(table.uri) / "_delta_log" / f"{1:020d}.json").unlink()

    with pytest.raises(CorruptDataError):
        Table.open(table.uri).read()


FULL_DISK = """
    import resource, sys
    import pyarrow as pa
    from mercury.errors import DiskFullError
    from mercury.tables import Table, Transaction

    uri, limit = sys.argv[1], int(sys.argv[2])
    table = Table.open(uri)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    rows = pa.table({"id": range(50_000), "text": [str(i * 7919) for i in range(50_000)]})
    try:
        table.append(rows, transaction=Transaction("job", 1))
    except DiskFullError as error:
        print(error)
        sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("limit", [100, 50_000])
def test_full_disk_leaves_nothing_visible_and_the_work_can_be_repeated(table: Table, limit: int) -> None:
    done = in_a_process(FULL_DISK, table.uri, limit)

    assert done.returncode == DiskFullError.exit_code and "Traceback" not in done.stderr, done.stderr
    assert "the disk is full: the commit was not made" in done.stdout
    assert table.refresh().version == 1
    assert sorted(table.read()["id"].to_pylist()) == [1, 2]
    assert not table.append(rows(3), transaction=Transaction("job", 1)).skipped
    assert DeltaTable(table.uri).version() == 2


def test_disk_that_fills_while_the_log_is_written_leaves_nothing_visible(table: Table) -> None:
    # The data file fits under the limit, the log entry with its long provenance does not.
    code = FULL_DISK.replace('transaction=Transaction("job", 1))', 'provenance={"why": "x" * 300_000})').replace(
        "50_000", "10"
    )
    done = in_a_process(code, table.uri, 100_000)

    assert done.returncode == DiskFullError.exit_code and "Traceback" not in done.stderr, done.stderr
    assert table.refresh().version == 1
    assert len(table.history()) == 2
    table.vacuum("0s")
    assert len(list(Path(table.uri).rglob("*.parquet*"))) == 1
    assert table.append(rows(3)).version >= 2
    assert sorted(Table.open(table.uri).read()["id"].to_pylist()) == [1, 2, 3]


READ_ONLY = """
    import os, sys
    import pyarrow as pa
    from mercury.errors import MercuryError
    from mercury.tables import Table

    table = Table.open(sys.argv[1])
    table.read()
    if os.geteuid() == 0:
        os.setuid(65534)
    try:
        table.append(pa.table({"id": [3]}))
    except MercuryError as error:
        print(type(error).__name__, error)
"""


def test_read_only_folder_is_one_error(table: Table) -> None:
    folders = [Path(table.uri), Path(table.uri) / "_delta_log"]
    # Others must be able to come in and read, for the case that tests run as root.
    for parent in Path(table.uri).parents:
        if parent.stat().st_uid == os.getuid() and str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    for folder in folders:
        folder.chmod(0o555)
    try:
        done = in_a_process(READ_ONLY, table.uri)
    finally:
        for folder in folders:
            folder.chmod(0o755)

    assert done.stdout.startswith("UnavailableError the table cannot be written: permission denied"), done.stderr
    assert table.refresh().version == 1


def test_second_writer_that_creates_the_same_table_opens_it(table: Table) -> None:
    with pytest.raises(CommitConflictError):
        Table.create(table.uri, SCHEMA)
    assert Table.create(table.uri, SCHEMA, exist_ok=True).read().num_rows == 2


def test_replayed_transaction_is_still_skipped_after_a_failure(table: Table) -> None:
    table.append(rows(3), transaction=Transaction("job", 1))
    in_a_process(FULL_DISK, table.uri, 100)

    assert table.append(rows(3), transaction=Transaction("job", 1)).skipped


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Generic LocalFileSystem error: No space left on device (os error 28)", DiskFullError),
        ("[Errno 28] No space left on device", DiskFullError),
        ("Disk quota exceeded (os error 122)", DiskFullError),
        ("Read-only file system (os error 30)", UnavailableError),
        ("Object at location x/part-1.parquet not found", CorruptDataError),
    ],
)
def test_messages_of_libraries_become_our_errors(message: str, kind: type[Exception]) -> None:
    error = explain(OSError(message), "lake/t")

    assert type(error) is kind
    assert error.where == "lake/t"
