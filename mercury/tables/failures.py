"""From what delta-rs, DuckDB and the file system raise to one clear error of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError, SchemaMismatchError, TableNotFoundError

from mercury import errors
from mercury.errors import MercuryError

_DISK_FULL = re.compile(r"No space left|os error 28\b|File too large|os error 27\b|quota|os error 122\b|Errno 2[78]\b")
_READ_ONLY = re.compile(r"Permission denied|os error 13\b|Read-only file system|os error 30\b|Errno 13\b|Errno 30\b")
_UNSUPPORTED = re.compile(
    r"[Uu]nsupported table features?(?: required)?: .*|Feature '[^']*' is not supported"
    r"|Unsupported Delta table type: '[^']*'"
    r"|Unsupported minimum \w+ version \d+|catalog-managed|Unsupported: .*"
)
_MISSING = re.compile(r"not found|NotFound|No such file|No files found", re.IGNORECASE)
_PATH = re.compile(r"[^\s\"'\[\]{}():,]+\.(?:parquet|json|bin|crc)\b")


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn failures of this block into errors that say what, where and what to do.

    `CommitFailedError` goes through, since the caller decides whether the work may be tried again. A panic of
    delta-rs is a `BaseException`, which nobody expects: it becomes an error too.
    """
    try:
        yield
    except (MercuryError, CommitFailedError):
        raise
    except (DeltaError, OSError, duckdb.Error, pa.ArrowException, ValueError) as error:
        raise explain(error, uri) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise explain(error, uri) from error


def explain(error: BaseException, uri: str) -> MercuryError:
    """The error that a reader of the message can act on."""
    text = " ".join(str(error).split())
    if _DISK_FULL.search(text):
        return errors.DiskFullError(
            "the disk is full: the commit was not made",
            where=uri,
            fix="Free some space and run it again; vacuum the table to remove what was left half-written",
        )
    if _READ_ONLY.search(text):
        return errors.UnavailableError(
            "the table cannot be written: permission denied or read-only file system",
            where=uri,
            fix="Give this user the right to write there",
        )
    if isinstance(error, TableNotFoundError):
        return not_found(uri)
    if (feature := unsupported(error)) is not None:
        return feature_error(feature, uri)
    if isinstance(error, SchemaMismatchError):
        return errors.SchemaError(f"the rows do not fit the table: {text}", where=uri)
    paths = [path for path in _PATH.findall(text) if not path.endswith("/")]
    named = f" {paths[0]}" if paths else ""
    if _MISSING.search(text):
        return errors.CorruptDataError(
            f"the table's log names a file{named} that is not there",
            where=uri,
            fix="Restore the file, or read an earlier version; it was deleted by hand or by a vacuum too short",
        )
    return errors.CorruptDataError(f"the table cannot be read{named and ' at' + named}: {text[:300]}", where=uri)


def unsupported(error: BaseException) -> str | None:
    """What an error says of a feature of Delta that delta-rs does not know, or None when it is about something else."""
    found = _UNSUPPORTED.search(" ".join(str(error).split()))
    return found.group(0)[:200] if found else None


def feature_error(feature: str, uri: str) -> errors.UnavailableError:
    """The error of a table that is whole, but in a form that cannot be read or written from here."""
    return errors.UnavailableError(
        f"the table uses what this library does not know of Delta: {feature}",
        where=uri,
        fix="Let the engine that wrote it read or write it, or have it copy the rows into a plain table",
    )


def not_found(uri: str) -> errors.TableNotFoundError:
    return errors.TableNotFoundError(
        f"no table at {uri!r}", fix="Check the path; the job that writes it creates it on its first run"
    )
