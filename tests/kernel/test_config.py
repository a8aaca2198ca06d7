"""Settings: where each value comes from, and errors that name variable, key and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mercury.cli import cli
from mercury.config import Settings, load_settings
from mercury.errors import ConfigError, UsageError
from mercury.lake import local_folder

NOTHING: dict[str, str] = {}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path / "mercury_project.py"


def write(project: Path, text: str) -> None:
    (project.parent / "mercury.toml").write_text(text)


def test_defaults_lie_beside_the_project_file(project: Path) -> None:
    settings = load_settings(project, NOTHING)
    state = project.parent / ".mercury"
    assert settings == Settings(
        project=project,
        state=state,
        lake=str(state / "lake"),
        registry_url=f"sqlite:///{state / 'mercury.db'}",
        bootstrap_servers=None,
        ray_address=None,
        mlflow_tracking_uri=f"sqlite:///{state / 'mlflow.db'}",
        lineage_url=None,
        memory_limit=2 << 30,
        host="127.0.0.1",
        log_level="info",
    )
    assert {settings.origin(name) for name in Settings.names()} == {"argument", "default"}
    assert not state.exists()


def test_variable_beats_file_beats_foreign_variable_beats_default(project: Path) -> None:
    write(project, "ray_address = 'file:1'\n\nlog_level = 'error'\n")
    env = {"MERCURY_LOG_LEVEL": "debug", "RAY_ADDRESS": "ray:1", "MLFLOW_TRACKING_URI": "http://mlflow"}
    settings = load_settings(project, env)
    assert (settings.log_level, settings.origin("log_level")) == ("debug", "environment MERCURY_LOG_LEVEL")
    assert (settings.ray_address, settings.origin("ray_address")) == ("file:1", "mercury.toml line 1")
    assert settings.mlflow_tracking_uri == "http://mlflow"
    assert settings.origin("mlflow_tracking_uri") == "environment MLFLOW_TRACKING_URI"


def test_state_moves_what_lies_in_it(project: Path) -> None:
    write(project, "state = 'kept'\n")
    settings = load_settings(project, NOTHING)
    assert settings.lake == str(project.parent / "kept" / "lake")
    assert settings.registry_url == f"sqlite:///{project.parent / 'kept' / 'mercury.db'}"


def test_relative_paths_begin_at_their_file_and_at_the_working_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    write(project, "lake = 'data'\n")
    assert load_settings(project, NOTHING).lake == str(project.parent / "data")
    assert load_settings(project, {"MERCURY_LAKE": "data"}).lake == str(elsewhere / "data")
    assert load_settings(project, {"MERCURY_LAKE": "s3://bucket/lake"}).lake == "s3://bucket/lake"
    assert load_settings(env=NOTHING).project == elsewhere / "mercury_project.py"
    assert load_settings(env={"MERCURY_PROJECT": "p.py"}).project == elsewhere / "p.py"


def test_postgresql_goes_through_psycopg(project: Path) -> None:
    settings = load_settings(project, {"MERCURY_REGISTRY_URL": "postgresql://me@db/mercury"})
    assert settings.registry_url == "postgresql+psycopg://me@db/mercury"


@pytest.mark.parametrize(("text", "size"), [("2GiB", 2 << 30), ("1.5 GB", 1_500_000_000), ("1048576", 1 << 20)])
def test_sizes_have_units(project: Path, text: str, size: int) -> None:
    assert load_settings(project, {"MERCURY_MEMORY_LIMIT": text}).memory_limit == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# places\nlaek = 'x'\n", r"'laek' is not a setting \(.*mercury.toml:2\). Did you mean 'lake'\?"),
        ("[kafka]\nbootstrap = 1\n", r"'kafka' is not a setting \(.*mercury.toml:1\)"),
        ("[lake]\nurl = 'x'\n", r"'lake' is a table \(.*mercury.toml:1\)"),
        ("lake = 3\n", r"3 is not a text \(.*mercury.toml:1\)"),
        ("\n\nlog_level = 'loud'\n", r"'loud' is not a log level \(.*mercury.toml:3\)"),
        ("memory_limit = 'lots'\n", r"'lots' is not a size .*mercury.toml:1"),
        ("memory_limit = true\n", "True is not a size"),
        ("registry_url = 'mysql://u:secret@h/d'\n", r"'mysql://u:\*\*\*@h/d' is not a registry"),
        ("bootstrap_servers = 'localhost'\n", "'localhost' is not a Kafka server"),
        ("lineage_url = 'ftp://x'\n", "'ftp://x' is not an HTTP address"),
        ("lake = \n", "mercury.toml is not TOML: .*line 1"),
        ("project = 'x.py'\n", "'project' is not a setting"),
    ],
)
def test_file_that_cannot_be_used_names_key_and_line(project: Path, text: str, message: str) -> None:
    write(project, text)
    with pytest.raises(ConfigError, match=message):
        load_settings(project, NOTHING)


def test_unknown_variable_is_an_error_with_the_nearest_name(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"MERCURY_LAEK is not a setting .*Did you mean 'MERCURY_LAKE'"):
        load_settings(project, {"MERCURY_LAEK": "x"})


def test_variable_of_where_jars_come_from_is_no_setting(project: Path) -> None:
    assert "ivy_settings" not in load_settings(project, {"MERCURY_IVY_SETTINGS": "settings.xml"}).names()


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("REGISTRY_URL", "postgresql://me:s3c/r@t@db/m", "postgresql+psycopg://me:***@db/m"),
        (
            "REGISTRY_URL",
            "postgresql://me@db/m?password=s3c&sslmode=require",
            "postgresql+psycopg://me@db/m?password=***&sslmode=require",
        ),
        ("MLFLOW_TRACKING_URI", "https://me:s3c@models", "https://me:***@models"),
        ("LAKE", "s3://lake/key=1", "s3://lake/key=1"),
    ],
)
def test_passwords_are_not_shown(project: Path, variable: str, value: str, shown: str) -> None:
    assert load_settings(project, {f"MERCURY_{variable}": value}).public()[variable.lower()] == shown


def test_errors_do_not_show_passwords(project: Path) -> None:
    for variable in ("LINEAGE_URL", "REGISTRY_URL"):
        with pytest.raises(ConfigError) as caught:
            load_settings(project, {f"MERCURY_{variable}": "ftp://me:s3cret@host/x?token=s3cret"})
        assert "s3cret" not in str(caught.value)


def test_empty_variable_counts_as_unset(project: Path) -> None:
    assert load_settings(project, {"MERCURY_HOST": ""}).origin("host") == "default"


def test_command_prints_every_value_and_its_origin(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERCURY_REGISTRY_URL", "postgresql://me:secret@db/mercury")
    write(project, "host = '0.0.0.0'\n")
    arguments = ["config", "--project", str(project)]
    shown = CliRunner().invoke(cli, arguments, catch_exceptions=False).output
    document = json.loads(CliRunner().invoke(cli, [*arguments, "--format", "json"], catch_exceptions=False).output)
    assert list(document) == Settings.names()
    assert document["host"] == {"value": "0.0.0.0", "origin": "mercury.toml line 1"}
    assert document["registry_url"] == {
        "value": "postgresql+psycopg://me:***@db/mercury",
        "origin": "environment MERCURY_REGISTRY_URL",
    }
    assert "secret" not in shown
    assert [line.split()[0] for line in shown.splitlines()] == Settings.names()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("STATE", "s3://bucket/state", "'s3://bucket/state' is not a folder"),
        ("STATE", "file:///data/state", "'file:///data/state' is not a folder"),
        ("STATE", "s3:/bucket", "'s3:/bucket' is not a folder"),
        ("LAKE", "s3:/bucket/lake", r"neither a folder nor a URL .*Write s3://BUCKET/PATH"),
        ("LAKE", "s3:", "neither a folder nor a URL"),
        ("LAKE", "ftp://host/lake", "tables cannot be kept at 'ftp://host/lake'"),
        ("LAKE", "https://me:secret@host/lake", r"tables cannot be kept at 'https://me:\*\*\*@host/lake'"),
    ],
)
def test_an_address_that_would_become_a_folder_of_its_name_is_refused(
    project: Path, variable: str, value: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(project, {f"MERCURY_{variable}": value})


def test_what_must_be_on_a_disk_is_not_written_beside_a_url(tmp_path: Path) -> None:
    assert local_folder("lake/a", "runs") == Path("lake/a")
    assert local_folder(tmp_path.as_uri(), "runs") == tmp_path
    with pytest.raises(UsageError, match=r"runs must be on a disk, and 's3://bucket/lake' is not"):
        local_folder("s3://bucket/lake", "runs")
