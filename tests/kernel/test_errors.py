"""Errors: one line each, a documented exit code, and the way between processes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mercury import errors
from mercury.errors import MercuryError, did_you_mean

CODES = {
    "MercuryError": 1,
    "UsageError": 2,
    "MissingDependencyError": 3,
    "NotFoundError": 4,
    "DataError": 5,
    "PartialError": 6,
    "UnavailableError": 7,
    "ConflictError": 8,
    "BudgetExceededError": 9,
}


def family(kind: type[MercuryError]) -> Iterator[type[MercuryError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from family(child)


ALL = list(family(MercuryError))


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_exit_code_is_that_of_the_nearest_documented_ancestor(kind: type[MercuryError]) -> None:
    documented = next(base.__name__ for base in kind.__mro__ if base.__name__ in CODES)
    assert kind.exit_code == CODES[documented]


def test_the_drawn_tree_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = [line for line in errors.__doc__.splitlines() if "Error" in line and line.startswith("    ")]
    for kind in ALL:
        assert any(kind.__name__ in line.split() for line in drawn), kind
    assert len(drawn) == len(ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_error_survives_pickling(kind: type[MercuryError]) -> None:
    error = kind("lake is full", where="line 3", fix="Empty it", excerpt="    lake\n    ^^^^")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert (back.what, back.where, back.fix, back.excerpt) == (error.what, error.where, error.fix, error.excerpt)
    assert str(back) == str(error) == "lake is full (line 3). Empty it"


def test_parts_that_are_missing_leave_no_trace() -> None:
    assert str(MercuryError("lake is full")) == "lake is full"
    assert str(MercuryError("lake is full", fix="Empty it")) == "lake is full. Empty it"


def test_error_text_with_an_excerpt_is_still_one_line() -> None:
    assert "\n" not in str(MercuryError("wrong", where="a", fix="b", excerpt="    x\n    ^"))


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("dep_dealy", ["dep_delay", "arr_delay"], "Did you mean 'dep_delay'?"),
        ("x", ["b", "a", "a"], "Known: a, b"),
        ("x", [], None),
        (
            "zzz",
            [f"c{number:02}" for number in range(13)],
            "Known: " + ", ".join(f"c{n:02}" for n in range(12)) + ", …",
        ),
    ],
)
def test_did_you_mean(name: str, known: list[str], expected: str | None) -> None:
    assert did_you_mean(name, known) == expected


@pytest.mark.parametrize(("kind", "code"), [("DataError", 5), ("ApplyConflictError", 8), ("MercuryError", 1)])
def test_command_prints_one_line_and_the_excerpt_and_exits_with_the_code(kind: str, code: int) -> None:
    script = f"""
import mercury.cli, mercury.errors
def fails(**options): raise mercury.errors.{kind}("bad", where="row 3", fix="Mend it", excerpt="    ^")
mercury.cli.cli.main = fails
mercury.cli.main()
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr == "mercury: bad (row 3). Mend it\n    ^\n"
