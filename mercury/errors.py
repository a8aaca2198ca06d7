"""Every error that Mercury raises on purpose, and the exit code each one ends a command with.

    MercuryError                         1  (a bug, when nothing more precise fits)
    ├── UsageError                       2  what the caller wrote is wrong
    │   ├── ConfigError                     a MERCURY_* variable or a line of mercury.toml
    │   ├── DefinitionError                 a definition in the project file
    │   ├── ProjectError                    the project file itself
    │   └── ExpressionError                 a SQL expression, with a caret under the mistake
    ├── MissingDependencyError           3  a package, a server or a jar that is not installed
    ├── NotFoundError                    4  something named does not exist
    │   └── TableNotFoundError
    ├── DataError                        5  the data breaks a rule
    │   ├── SchemaError                     columns or types
    │   ├── ContractError                   a data contract
    │   ├── CorruptDataError                a file that does not hold what its format promises
    │   └── SpecMismatchError               two summaries of different definitions
    ├── PartialError                     6  some of the work failed, the rest is done
    ├── UnavailableError                 7  a service or resource cannot be used now
    │   ├── BrokerUnavailableError
    │   ├── PortInUseError
    │   ├── DiskFullError
    │   └── DeadlineExceededError
    ├── ConflictError                    8  somebody else changed the same thing
    │   ├── CommitConflictError
    │   ├── FencedError                     a newer incarnation has taken over
    │   └── ApplyConflictError
    └── BudgetExceededError              9  the privacy budget does not allow the answer

Each carries *what* was wrong with the offending value, *where* (file, line, column, row, option) and *fix*,
what to do about it. `str(error)` is one line; a message may end with an indented excerpt that shows the place.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class MercuryError(Exception):
    """Base of all errors: what was wrong, where, and what to do.

    Parameters
    ----------
    what : the fault, with the offending value.
    where : file, line, column, row or option that it is in.
    fix : the next step for the person who reads it.
    excerpt : lines that show the place (for instance an expression with a caret), printed below the message.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, what: str, *, where: str | None = None, fix: str | None = None, excerpt: str | None = None
    ) -> None:
        super().__init__(what, where, fix, excerpt)
        self.what = what
        self.where = where
        self.fix = fix
        self.excerpt = excerpt

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        step = f". {self.fix}" if self.fix else ""
        return f"{self.what}{place}{step}"

    def __reduce__(self) -> tuple[object, ...]:
        # Ray and multiprocessing carry errors between processes; keyword arguments would be lost by the default.
        return _rebuild, (type(self), self.what, self.where, self.fix, self.excerpt)


def _rebuild(
    kind: type[MercuryError], what: str, where: str | None, fix: str | None, excerpt: str | None
) -> MercuryError:
    return kind(what, where=where, fix=fix, excerpt=excerpt)


class UsageError(MercuryError):
    """What the caller wrote is wrong: an option, a name, a file of definitions."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting has a value that cannot be used."""


class DefinitionError(UsageError):
    """A definition in the project file contradicts itself or another."""


class ProjectError(UsageError):
    """The project file cannot be found, imported or understood."""


class ExpressionError(UsageError):
    """A SQL expression does not parse, names what is not there, or uses what is not allowed."""


class MissingDependencyError(MercuryError):
    """A package, program or jar that this needs is not installed."""

    exit_code = 3


class NotFoundError(MercuryError):
    """Something that was named does not exist."""

    exit_code = 4


class TableNotFoundError(NotFoundError):
    """No table lies at this place."""


class DataError(MercuryError):
    """The data breaks a rule."""

    exit_code = 5


class SchemaError(DataError):
    """Columns are missing, unknown or of another type."""


class ContractError(DataError):
    """Data breaks its contract, or the contract itself cannot be read."""


class CorruptDataError(DataError):
    """A file does not hold what its format promises."""


class SpecMismatchError(DataError):
    """Summaries of two different definitions cannot be merged."""


class PartialError(MercuryError):
    """Some of the work failed; what succeeded is kept and named."""

    exit_code = 6


class UnavailableError(MercuryError):
    """A service or resource cannot be used now; trying again later may work."""

    exit_code = 7


class BrokerUnavailableError(UnavailableError):
    """No Kafka broker answers at this address."""


class PortInUseError(UnavailableError):
    """Another process listens on this port."""


class DiskFullError(UnavailableError):
    """The disk has no room left; nothing of the operation is visible."""


class DeadlineExceededError(UnavailableError):
    """The operation did not finish within the time it was given."""


class ConflictError(MercuryError):
    """Somebody else changed the same thing first."""

    exit_code = 8


class CommitConflictError(ConflictError):
    """Another writer committed to the table in a way that this commit cannot follow."""


class FencedError(ConflictError):
    """A newer incarnation of this job has taken over; this one must stop."""


class ApplyConflictError(ConflictError):
    """The project was changed by another `apply` since the plan was made."""


class BudgetExceededError(MercuryError):
    """The privacy budget does not allow the answer; nothing was spent and nothing was released."""

    exit_code = 9


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A sentence that names the nearest known spelling, or lists the known names when none is near.

    >>> did_you_mean("dep_dealy", ["dep_delay", "arr_delay"])
    "Did you mean 'dep_delay'?"
    >>> did_you_mean("x", ["dep_delay", "arr_delay"])
    'Known: arr_delay, dep_delay'
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    if not names:
        return None
    shown = ", ".join(names[:12])
    return f"Known: {shown}{', …' if len(names) > 12 else ''}"
