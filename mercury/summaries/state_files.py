"""Summaries as bytes: a line of text, then one Arrow IPC stream per table.

    mercury-summary 1 5f3a90c2 {"spec":"…","tables":[["scalars",1234],…]}

The line says format, CRC-32 of all that follows it, the spec's hash, and the name and length of each stream.
"""

from __future__ import annotations

import json
import zlib

import pyarrow as pa

from mercury.errors import CorruptDataError, SpecMismatchError
from mercury.summaries.spec import Summary, SummarySpec

STATE_FORMAT = 1
"""Version of these bytes; a reader refuses another."""

_MAGIC = b"mercury-summary"
_RECOMPUTE = "Recompute it from its rows"


def to_ipc(summary: Summary) -> bytes:
    """The state as bytes; equal states give equal bytes, in whatever order their rows lie."""
    bodies = {name: _stream(table) for name, table in sorted(summary.sorted().tables.items())}
    header = {"spec": summary.spec.hash, "tables": [[name, len(body)] for name, body in bodies.items()]}
    rest = json.dumps(header, separators=(",", ":")).encode() + b"\n" + b"".join(bodies.values())
    return b"%s %d %08x %s" % (_MAGIC, STATE_FORMAT, zlib.crc32(rest), rest)


def from_ipc(data: bytes, spec: SummarySpec) -> Summary:
    """The state that `to_ipc` wrote.

    Raises `SpecMismatchError` when it is of another spec, `CorruptDataError` when it is no state, or damaged.
    """
    magic, _, versioned = data.partition(b" ")
    version, _, checked = versioned.partition(b" ")
    if magic != _MAGIC or not version.isdigit():
        raise CorruptDataError("these bytes are not a summary", fix=_RECOMPUTE)
    if int(version) != STATE_FORMAT:
        raise CorruptDataError(f"summary format {int(version)} is not {STATE_FORMAT}", fix="Upgrade Mercury")
    checksum, _, rest = checked.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(rest):
        raise CorruptDataError("a summary is damaged: its checksum does not fit its bytes", fix=_RECOMPUTE)
    line, _, streams = rest.partition(b"\n")
    header = json.loads(line)
    if header["spec"] != spec.hash:
        raise SpecMismatchError(
            f"the state is of spec {header['spec']}, not {spec.hash}", fix="Recompute it: its definition has changed"
        )
    tables, at = {}, 0
    for name, length in header["tables"]:
        tables[name] = pa.ipc.open_stream(streams[at : at + length]).read_all()
        at += length
    return Summary(spec, tables)


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
