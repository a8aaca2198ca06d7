"""A database that keeps state: SQLite by default, PostgreSQL by URL, with its errors as Mercury's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from mercury.config import without_passwords
from mercury.errors import (
    ConfigError,
    CorruptDataError,
    DiskFullError,
    MissingDependencyError,
    UnavailableError,
)

PATIENCE = 30
"""Seconds to wait for another writer of SQLite, or for PostgreSQL to answer."""

_CREATION_LOCK = 0x6D657263757279
"""Key of PostgreSQL's advisory lock around the creation of tables."""

_WAIT_FOR_DISK = (
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)
"""Of PostgreSQL, whose default an administrator may have set to lose what was committed last."""


class Database:
    """Connections to a database by URL; they are not kept, since a forked or pickled caller must not share one.

    Parameters
    ----------
    url : SQLAlchemy URL of SQLite or PostgreSQL.
    what : what it is, in errors, such as "the registry".
    setting : the setting that the URL came from, in errors.

    Raises `ConfigError` for another URL, `MissingDependencyError` when the driver is not installed.
    """

    def __init__(self, url: str, *, what: str, setting: str) -> None:
        self._what, self._setting = what, setting
        try:
            parsed = sa.make_url(url)
            self.is_sqlite = parsed.get_backend_name() == "sqlite"
            options = {"timeout": PATIENCE} if self.is_sqlite else {"connect_timeout": PATIENCE}
            # PostgreSQL's locks are taken by a statement: a server's stricter default would read what was before it.
            level = {} if self.is_sqlite else {"isolation_level": "READ COMMITTED"}
            self._engine = sa.create_engine(
                parsed, poolclass=sa.NullPool, connect_args=options, hide_parameters=True, **level
            )
        except (sa.exc.ArgumentError, NoSuchModuleError) as error:
            raise ConfigError(
                f"{setting} is not a database URL", fix="Write sqlite:///FILE or postgresql://…"
            ) from error
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"the driver {error.name} is not installed", fix="pip install 'mercury-platform[postgres]'"
            ) from error
        self.shown = without_passwords(parsed.render_as_string(hide_password=False))
        self._file = Path(parsed.database) if self.is_sqlite and parsed.database else None

    def has(self, table: sa.Table) -> bool:
        """Whether a table exists; asking creates nothing."""
        if self._file is not None and not self._file.exists():
            return False
        with self.reading() as connection:
            return sa.inspect(connection).has_table(table.name)

    def create(self, *tables: sa.Table) -> None:
        """Make the tables that are missing, with their indexes, safe with several callers at once."""
        if all(self.has(table) for table in tables):
            return
        with self.translated():
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._engine.begin() as connection:
                if not self.is_sqlite:
                    # IF NOT EXISTS alone fails in PostgreSQL when two sessions create the same table at once.
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION_LOCK)))
                for table in tables:
                    connection.execute(CreateTable(table, if_not_exists=True))
                    for index in table.indexes:
                        connection.execute(CreateIndex(index, if_not_exists=True))

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read by."""
        with self.translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is committed at the end of the block, or not at all when it raises."""
        with self.translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def alone(self, lock: int) -> Iterator[sa.Connection]:
        """A transaction that no other with the same lock runs beside, durable once the block has ended.

        In SQLite it is alone in the file, from its beginning on, and waits for the disk.
        """
        with self.translated():
            if not self.is_sqlite:
                with self._engine.begin() as connection:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))
                    connection.exec_driver_sql(_WAIT_FOR_DISK)
                    yield connection
                return
            with self._engine.connect() as connection:
                raw = connection.connection.driver_connection
                assert raw is not None
                raw.isolation_level = None  # SQLAlchemy's own BEGIN would take the lock at the first write only
                connection.exec_driver_sql("PRAGMA synchronous = EXTRA")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    if raw.in_transaction:  # a full disk has ended it
                        connection.exec_driver_sql("ROLLBACK")
                    raise
                connection.exec_driver_sql("COMMIT")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Errors of the driver as Mercury's; `IntegrityError` passes, since it means something to the caller."""
        try:
            yield
        except (OperationalError, OSError) as error:
            reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
            if "full" in reason or getattr(error, "errno", None) == 28:
                raise DiskFullError(f"{self._what} cannot be written: {reason}", where=self.shown) from error
            raise UnavailableError(
                f"{self._what} cannot be used: {reason}", where=self.shown, fix=f"Check {self._setting} and its server"
            ) from error
        except IntegrityError:
            raise
        except DatabaseError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise CorruptDataError(f"{self._what} cannot be read: {reason}", where=self.shown) from error
