"""Applied projects: revisions, conflicts, races between processes, and rows that are not what was written."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from mercury import Project, Window
from mercury.errors import (
    ApplyConflictError,
    ConfigError,
    CorruptDataError,
    DiskFullError,
    NotFoundError,
    UnavailableError,
)
from mercury.registry import Registry
from tests.registry.projects import project

ROOT = Path(__file__).parents[2]


def test_nothing_is_current_before_the_first_apply_and_reading_creates_nothing(url: str) -> None:
    registry = Registry(url)
    assert registry.current() is None
    assert registry.history("flights") == []
    assert registry.plan(project()).base == 0
    if url.startswith("sqlite"):
        assert not Path(url.removeprefix("sqlite:///")).parent.exists()
    else:
        assert not sa.inspect(sa.create_engine(url, poolclass=sa.NullPool)).has_table("mercury_revisions")


def test_applied_project_reads_back_equal(url: str) -> None:
    registry = Registry(url)
    applied = registry.apply(registry.plan(project()))
    current = Registry(url).current()
    assert current == applied
    assert current is not None and current.number == 1
    assert current.project == project()
    assert current.version == project().version


def test_history_keeps_every_revision(url: str) -> None:
    registry = Registry(url)
    for lateness in ("1h", "2h", "3h"):
        registry.apply(registry.plan(project(lateness)))
    history = registry.history("flights")
    assert [revision.number for revision in history] == [1, 2, 3]
    assert [revision.project for revision in history] == [project("1h"), project("2h"), project("3h")]
    assert [r.applied_at for r in history] == sorted(r.applied_at for r in history)


def test_apply_without_changes_writes_nothing(url: str) -> None:
    registry = Registry(url)
    first = registry.apply(registry.plan(project()))
    assert registry.apply(registry.plan(project())) == first
    assert len(registry.history("flights")) == 1


def test_plan_that_another_apply_overtook_conflicts_and_changes_nothing(url: str) -> None:
    registry = Registry(url)
    registry.apply(registry.plan(project("1h")))
    mine, theirs = registry.plan(project("2h")), registry.plan(project("3h"))
    registry.apply(theirs)
    with pytest.raises(ApplyConflictError, match="changed since revision 1"):
        registry.apply(mine)
    current = registry.current("flights")
    assert current is not None and (current.number, current.project) == (2, project("3h"))


def test_empty_plan_that_was_overtaken_conflicts(url: str) -> None:
    registry = Registry(url)
    registry.apply(registry.plan(project("1h")))
    unchanged = registry.plan(project("1h"))
    registry.apply(registry.plan(project("2h")))
    with pytest.raises(ApplyConflictError):
        registry.apply(unchanged)


def test_first_apply_of_two_callers_has_one_winner(url: str) -> None:
    plans = [(Registry(url), Registry(url).plan(project(lateness))) for lateness in ("1h", "2h")]
    plans[0][0].apply(plans[0][1])
    with pytest.raises(ApplyConflictError):
        plans[1][0].apply(plans[1][1])


def test_projects_of_one_database_do_not_see_each_other(url: str) -> None:
    registry = Registry(url)
    registry.apply(registry.plan(project(name="a")))
    registry.apply(registry.plan(project(name="b")))
    with pytest.raises(NotFoundError, match="several projects"):
        registry.current()
    found = registry.current("b")
    assert found is not None and (found.number, found.project.name) == (1, "b")


@pytest.mark.slow
def test_two_processes_that_apply_at_once_lose_no_revision(url: str) -> None:
    rounds = 25
    callers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.registry.projects", url, caller, str(rounds)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for caller in ("caller1", "caller2")
    ]
    outcomes = []
    for caller in callers:
        out, err = caller.communicate(timeout=120)
        assert caller.returncode == 0, err
        outcomes.append(tuple(map(int, out.split())))
    assert [won for won, _ in outcomes] == [rounds, rounds]
    shared = Registry(url).history("shared")
    # Every apply that was reported as done is a revision, and every other one left nothing.
    assert [revision.number for revision in shared] == list(range(1, 2 * rounds + 1))
    lateness = [next(p.lateness for p in r.project.definitions if p.kind == "Stream") for r in shared]  # type: ignore[attr-defined]
    assert sorted(lateness) == sorted(f"{caller * 1000 + won}m" for caller in (1, 2) for won in range(rounds))


def test_row_of_a_later_format_is_refused(url: str) -> None:
    change(url, "format = 2")
    with pytest.raises(CorruptDataError, match=r"format 2.*Upgrade"):
        Registry(url).current()


def test_row_that_was_tampered_with_is_refused(url: str) -> None:
    change(url, "definitions = replace(definitions, '2h', '9h')")
    with pytest.raises(CorruptDataError, match="do not match their hash"):
        Registry(url).current()


def test_row_that_this_release_would_not_accept_is_refused_with_its_place(url: str) -> None:
    bad = json.dumps({"format": 3, "project": "flights", "definitions": {}})
    change(url, f"definitions = '{bad}', version = '{hashlib.sha256(bad.encode()).hexdigest()[:16]}'")
    with pytest.raises(
        CorruptDataError, match=r"project format 3 is not one of 1 to 2 \(.*flights revision 1\). Upgrade"
    ):
        Registry(url).current()


def test_half_written_database_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "mercury.db"
    file.write_bytes(b"SQLite format 3\0" + b"\7" * 5000)
    with pytest.raises(CorruptDataError, match="cannot be read"):
        Registry(f"sqlite:///{file}").current()


def test_full_disk_is_named_and_leaves_the_last_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'mercury.db'}"
    registry = Registry(url)
    registry.apply(registry.plan(project("1h")))

    @sa.event.listens_for(registry._database._engine, "connect")
    def limit(connection: object, record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]

    (hourly,) = project("1h").of(Window)
    big = Project("flights", [replace(hourly, where="delay > 0" + " OR delay > 0" * 20_000)])
    with pytest.raises(DiskFullError):
        registry.apply(registry.plan(big))
    assert [revision.project for revision in Registry(url).history("flights")] == [project("1h")]


def test_server_that_does_not_answer_is_one_clear_error_without_the_password() -> None:
    registry = Registry("postgresql+psycopg://mercury:secret@127.0.0.1:1/mercury")
    with pytest.raises(UnavailableError) as caught:
        registry.current()
    assert "secret" not in str(caught.value)
    assert "registry_url" in str(caught.value)


def test_unknown_kind_of_database_is_refused() -> None:
    with pytest.raises(ConfigError):
        Registry("oracles://x")


def change(url: str, assignment: str) -> None:
    """Apply a project, then change its row behind the registry's back."""
    registry = Registry(url)
    registry.apply(registry.plan(project()))
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text(f"UPDATE mercury_revisions SET {assignment}"))
