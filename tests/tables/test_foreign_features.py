"""Features of Delta that are not known here are named: the table is not corrupt, and nobody overtook the writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.errors import CorruptDataError, UnavailableError
from mercury.tables import Table

X = {"name": "x", "type": "long", "nullable": True, "metadata": {}}


def foreign(folder: Path, readers: list[str], writers: list[str], *fields: dict[str, Any]) -> Path:
    """A table of the rows 1 and 2, as another writer would leave it."""
    log = folder / "_delta_log"
    log.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1, 2]}), folder / "a.parquet")
    actions = [
        {
            "protocol": {
                "minReaderVersion": 3,
                "minWriterVersion": 7,
                "readerFeatures": readers,
                "writerFeatures": writers,
            }
        },
        {
            "metaData": {
                "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": [X, *fields]}),
                "partitionColumns": [],
                "configuration": {},
                "createdTime": 1,
            }
        },
        {
            "add": {
                "path": "a.parquet",
                "partitionValues": {},
                "size": (folder / "a.parquet").stat().st_size,
                "modificationTime": 1,
                "dataChange": True,
            }
        },
    ]
    (log / f"{0:020d}.json").write_text("\n".join(map(json.dumps, actions)))
    return folder


def field(name: str, type_: str) -> dict[str, Any]:
    return {"name": name, "type": type_, "nullable": True, "metadata": {}}


def test_a_table_with_variants_is_read(tmp_path: Path) -> None:
    table = Table.open(foreign(tmp_path / "t", ["variantType"], ["variantType"], field("v", "variant")))

    assert table.read().to_pydict() == {"x": [1, 2], "v": [None, None]}
    assert table.query("SELECT sum(x) AS total FROM self").to_pydict() == {"total": [3]}
    with pytest.raises(UnavailableError, match="it uses variantType"):
        table.files()


@pytest.mark.parametrize(
    ("readers", "fields", "said"),
    [
        (["teleport"], [], "teleport"),
        (["geospatial"], [], "geospatial"),
        (["catalogManaged"], [], "catalog-managed"),
        ([], [field("i", "interval")], "interval"),
    ],
)
def test_an_unknown_feature_is_named_when_the_table_is_opened(
    tmp_path: Path, readers: list[str], fields: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(UnavailableError, match=f"does not know of Delta: .*{said}"):
        Table.open(foreign(tmp_path / "t", readers, readers, *fields))


def test_a_feature_that_only_writers_need_is_named_when_one_writes(tmp_path: Path) -> None:
    table = Table.open(foreign(tmp_path / "t", [], ["identityColumns"]))

    assert table.read()["x"].to_pylist() == [1, 2]
    with pytest.raises(UnavailableError, match="IdentityColumns"):
        table.append(pa.table({"x": [3]}))


def test_a_log_that_is_damaged_is_still_corrupt(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "t", [], [])
    entry = folder / "_delta_log" / f"{0:020d}.json"
    entry.write_text(entry.read_text()[:-20])
    with pytest.raises(CorruptDataError):
        Table.open(folder)


def test_a_null_struct_whose_parts_must_not_be_null_is_read(tmp_path: Path) -> None:
    person = pa.struct([pa.field("name", pa.string(), nullable=False)])
    people = pa.field("element", person)
    schema = pa.schema([("id", pa.int64()), ("owner", person), ("people", pa.list_(people))])
    table = Table.create(tmp_path / "t", schema)
    rows = [
        {"id": 1, "owner": {"name": "ada"}, "people": [{"name": "bob"}, None]},
        {"id": 2, "owner": None, "people": None},
    ]
    table.append(pa.Table.from_pylist(rows, schema=schema))

    assert table.read().to_pylist() == rows
    assert table.read(["owner"], where="id = 2").to_pylist() == [{"owner": None}]
