"""Revisions of projects in a database: SQLite by default, PostgreSQL by URL, the same code for both."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.schema import CreateTable

from mercury.definitions import Project, canonical_json
from mercury.errors import (
    ApplyConflictError,
    ConfigError,
    CorruptDataError,
    DefinitionError,
    DiskFullError,
    MissingDependencyError,
    NotFoundError,
    UnavailableError,
    did_you_mean,
)
from mercury.registry.plan import Plan, make_plan

FORMAT = 1
"""Version of a stored row; a reader refuses a greater one."""

PATIENCE = 30
"""Seconds to wait for another writer of SQLite, or for PostgreSQL to answer."""


@dataclass(frozen=True)
class Revision:
    """One applied state of a project: its number from 1, when it was applied (microseconds UTC), and what it says."""

    number: int
    applied_at: int
    version: str
    project: Project


class Registry:
    """What has been applied to the projects of a database.

    The primary key (project, revision) is the compare-and-swap: of two callers that plan against the same revision,
    one inserts the next and the other gets `ApplyConflictError`. Tables are made when first written to, so that
    reading leaves nothing behind.

    Raises `UnavailableError` when the database does not answer, `CorruptDataError` when a row is not what was
    written, and `MissingDependencyError` when the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.make_url(url)
            lite = parsed.get_backend_name() == "sqlite"
            options = {"timeout": PATIENCE} if lite else {"connect_timeout": PATIENCE}
            # Connections are not kept: calls are rare, and a forked or pickled caller must not share one.
            self._engine = sa.create_engine(parsed, poolclass=sa.NullPool, connect_args=options)
        except (sa.exc.ArgumentError, NoSuchModuleError) as error:
            raise ConfigError(
                "registry_url is not a database URL", fix="Write sqlite:///FILE or postgresql://…"
            ) from error
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"the driver {error.name} is not installed", fix="pip install 'mercury-platform[postgres]'"
            ) from error
        self._shown = parsed.render_as_string(hide_password=True)
        self._file = Path(parsed.database) if lite and parsed.database else None

    def current(self, name: str | None = None) -> Revision | None:
        """The last revision of the project of this name, or of the only project; None when nothing was applied.

        Raises `NotFoundError` when no name is given and the database holds several projects.
        """
        if not self._ready():
            return None
        with self._reading() as connection:
            if name is None:
                names = connection.scalars(sa.select(_revisions.c.project).distinct()).all()
                if len(names) > 1:
                    raise NotFoundError(
                        "the registry holds several projects", where=self._shown, fix=did_you_mean("", names)
                    )
                name = names[0] if names else ""
            query = sa.select(_revisions).where(_revisions.c.project == name)
            row = connection.execute(query.order_by(_revisions.c.revision.desc()).limit(1)).one_or_none()
        return None if row is None else self._revision(row)

    def history(self, name: str) -> list[Revision]:
        """All revisions of a project, oldest first."""
        if not self._ready():
            return []
        with self._reading() as connection:
            query = sa.select(_revisions).where(_revisions.c.project == name).order_by(_revisions.c.revision)
            rows = connection.execute(query).all()
        return [self._revision(row) for row in rows]

    def plan(self, project: Project) -> Plan:
        """What `apply` would change. Nothing is written."""
        last = self.current(project.name)
        return make_plan(last.project if last else None, last.number if last else 0, project)

    def apply(self, plan: Plan) -> Revision:
        """Make the plan's project the current one, at once or not at all; a plan without changes writes nothing.

        Raises `ApplyConflictError` when another revision was applied since the plan was made.
        """
        if plan.empty:
            last = self.current(plan.project.name)
            if last is None or last.number != plan.base:
                raise self._conflict(plan)
            return last
        applied = Revision(plan.base + 1, time.time_ns() // 1000, plan.project.version, plan.project)
        row = {
            "project": plan.project.name,
            "revision": applied.number,
            "format": FORMAT,
            "version": applied.version,
            "applied_at": applied.applied_at,
            "definitions": canonical_json(plan.project.to_dict()).decode(),
        }
        self._create()
        with self._translated():
            try:
                with self._engine.begin() as connection:
                    connection.execute(sa.insert(_revisions), row)
            except IntegrityError as error:
                raise self._conflict(plan) from error
        return applied

    def _conflict(self, plan: Plan) -> ApplyConflictError:
        return ApplyConflictError(
            f"project {plan.project.name!r} was changed since revision {plan.base}, which this plan starts from",
            where=self._shown,
            fix="Run `mercury plan` again and look at what has changed",
        )

    def _revision(self, row: sa.Row[tuple[object, ...]]) -> Revision:
        place = f"{self._shown}, {row.project} revision {row.revision}"
        if row.format > FORMAT:
            raise CorruptDataError(f"the row has format {row.format}", where=place, fix="Upgrade Mercury")
        if hashlib.sha256(row.definitions.encode()).hexdigest()[:16] != row.version:
            raise CorruptDataError(
                "the stored definitions do not match their hash", where=place, fix="Restore the database from a backup"
            )
        try:
            project = Project.from_dict(json.loads(row.definitions))
        except DefinitionError as error:
            raise CorruptDataError(
                f"the stored definitions cannot be read: {error.what}",
                where=f"{place}, {error.where}" if error.where else place,
                fix=error.fix or "Read them with the release that applied them, or set another registry_url",
            ) from error
        return Revision(row.revision, row.applied_at, row.version, project)

    def _ready(self) -> bool:
        """Whether the table exists; asking creates nothing."""
        if self._file is not None and not self._file.exists():
            return False
        with self._reading() as connection:
            return sa.inspect(connection).has_table(_revisions.name)

    def _create(self) -> None:
        if self._ready():
            return
        with self._translated():
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._engine.begin() as connection:
                if self._file is None:
                    # IF NOT EXISTS alone fails in PostgreSQL when two sessions create the same table at once.
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION_LOCK)))
                connection.execute(CreateTable(_revisions, if_not_exists=True))

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the driver as errors of Mercury."""
        try:
            yield
        except (OperationalError, OSError) as error:
            reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
            if "full" in reason or getattr(error, "errno", None) == 28:
                raise DiskFullError(f"the registry cannot be written: {reason}", where=self._shown) from error
            raise UnavailableError(
                f"the registry cannot be used: {reason}", where=self._shown, fix="Check registry_url and its server"
            ) from error
        except IntegrityError:
            raise
        except DatabaseError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise CorruptDataError(f"the registry cannot be read: {reason}", where=self._shown) from error


_CREATION_LOCK = 0x6D657263757279
"""Key of PostgreSQL's advisory lock around the creation of tables."""

_revisions = sa.Table(
    "mercury_revisions",
    sa.MetaData(),
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("applied_at", sa.BigInteger, nullable=False),
    sa.Column("definitions", sa.Text, nullable=False),
)
