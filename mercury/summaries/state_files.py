"""Summaries as bytes: a header line, then one Arrow IPC stream per table."""

from __future__ import annotations

import json

import pyarrow as pa

from mercury.errors import CorruptDataError, SpecMismatchError
from mercury.summaries.spec import Summary, SummarySpec

STATE_FORMAT = 1
"""Version of these bytes; a reader refuses another."""

_MAGIC = b"mercury-summary "


def to_ipc(summary: Summary) -> bytes:
    """The state as bytes; equal states give equal bytes, in whatever order their rows lie."""
    bodies = {name: _stream(table) for name, table in sorted(summary.sorted().tables.items())}
    header = {
        "format": STATE_FORMAT,
        "spec": summary.spec.hash,
        "tables": [[name, len(body)] for name, body in bodies.items()],
    }
    line = json.dumps(header, separators=(",", ":")).encode()
    return _MAGIC + line + b"\n" + b"".join(bodies.values())


def from_ipc(data: bytes, spec: SummarySpec) -> Summary:
    """The state that `to_ipc` wrote.

    Raises `SpecMismatchError` when it is of another spec, `CorruptDataError` when it is no state or cut short.
    """
    line, newline, rest = data.partition(b"\n")
    if not newline or not line.startswith(_MAGIC):
        raise CorruptDataError("these bytes are not a summary", fix="Recompute it from its rows")
    header = json.loads(line.removeprefix(_MAGIC))
    if header["format"] != STATE_FORMAT:
        raise CorruptDataError(f"summary format {header['format']} is not {STATE_FORMAT}", fix="Upgrade Mercury")
    if header["spec"] != spec.hash:
        raise SpecMismatchError(
            f"the state is of spec {header['spec']}, not {spec.hash}", fix="Recompute it: its definition has changed"
        )
    tables, at = {}, 0
    for name, length in header["tables"]:
        body = rest[at : at + length]
        if len(body) != length:
            raise CorruptDataError(f"the table {name!r} of a summary is cut short", fix="Recompute it from its rows")
        tables[name] = pa.ipc.open_stream(body).read_all()
        at += length
    return Summary(spec, tables)


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue())
