"""Names of datasets against OpenLineage's own naming classes, and the version of the code."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from openlineage.client.naming import dataset as official

from mercury.config import Settings
from mercury.runtime import lineage


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://lake/tables/x", official.S3("lake", "tables/x")),
        ("s3a://lake/tables/x/", official.S3("lake", "tables/x")),
        ("gs://lake/tables/x", official.GCS("lake", "tables/x")),
        ("kafka://10.0.0.1:9092/flights", official.Kafka("10.0.0.1", "9092", "flights")),
        ("hdfs://name:8020/tables/x", official.HDFS("name", "8020", "/tables/x")),
        ("abfss://box@account.dfs.core.windows.net/x", official.ABFSS("box", "account", "x")),
        ("/lake/tables/x", official.LocalFileSystem("/lake/tables/x")),
        ("file:///lake/tables/../x", official.LocalFileSystem("/lake/x")),
    ],
)
def test_names_are_those_of_the_naming_conventions(address: str, expected: official.DatasetNaming) -> None:
    assert lineage.dataset(address) == (expected.get_namespace(), expected.get_name())


def test_one_file_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "lake")
    monkeypatch.chdir(tmp_path)

    names = {
        lineage.dataset(address) for address in ("lake/x", "link/x", f"{tmp_path}/lake/x", f"file://{tmp_path}/link/x")
    }
    assert names == {("file", str((tmp_path / "lake" / "x").resolve()))}


def test_names_hold_no_passwords(settings: Settings) -> None:
    with lineage.run("train", settings=settings) as run:
        run.input("https://me:secret@host/data.csv?sig=secret")
        run.output("models/m", namespace="postgresql://me:secret@host/mlflow?password=secret")
        run.output("models/m", namespace="sqlite:////state/mlflow.db")

    assert set(run.inputs) == {("https://host", "data.csv")}
    assert set(run.outputs) == {("postgresql://host/mlflow", "models/m"), ("sqlite:////state/mlflow.db", "models/m")}


def test_offsets_are_ranges_in_the_order_of_partitions() -> None:
    assert lineage.offset_ranges({"10": [0, 7], 2: (3, 9)}) == "2:3-9,10:0-7"


def test_the_code_is_the_hash_of_a_project_file_outside_of_any_commit(settings: Settings) -> None:
    digest = hashlib.sha256(b"project = None\n").hexdigest()
    assert lineage.code_version(settings.project) == ("file", digest, settings.project.as_uri())
    settings.project.unlink()
    lineage.code_version.cache_clear()
    assert lineage.code_version(settings.project)[0] == "package"


def test_the_code_is_the_commit_of_the_checkout_and_whether_it_was_changed(settings: Settings, tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def version() -> tuple[str, ...]:
        lineage.code_version.cache_clear()
        return lineage.code_version(settings.project)[:2]

    git("init", "-q")
    assert version()[0] == "file"
    (tmp_path / "other.py").write_text("")
    git("add", "other.py")
    git("commit", "-q", "-m", "x")
    assert version()[0] == "file"  # the commit says nothing of a file that is not in it
    git("add", "mercury_project.py")
    git("commit", "-q", "-m", "y")
    commit = git("rev-parse", "HEAD")

    assert version() == ("git", commit)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("untracked files do not matter")
    assert version() == ("git", commit)
    (tmp_path / "other.py").write_text("x = 1\n")
    assert version() == ("git", f"{commit}-dirty")
