"""Revisions of projects in a database: SQLite by default, PostgreSQL by URL, the same code for both."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mercury.definitions import Project, canonical_json
from mercury.errors import ApplyConflictError, CorruptDataError, DefinitionError, NotFoundError, did_you_mean
from mercury.registry.plan import Plan, make_plan
from mercury.runtime.database import Database

FORMAT = 1
"""Version of a stored row; a reader refuses a greater one."""


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
        self._database = Database(url, what="the registry", setting="registry_url")
        self._shown = self._database.shown

    def current(self, name: str | None = None) -> Revision | None:
        """The last revision of the project of this name, or of the only project; None when nothing was applied.

        Raises `NotFoundError` when no name is given and the database holds several projects.
        """
        if not self._database.has(_revisions):
            return None
        with self._database.reading() as connection:
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
        if not self._database.has(_revisions):
            return []
        with self._database.reading() as connection:
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
        self._database.create(_revisions)
        try:
            with self._database.writing() as connection:
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
