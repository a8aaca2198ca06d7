"""Results as JSON beside a benchmark's scripts, and as a table in its README."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results: written by `python -m benchmarks` -->", "<!-- end of results -->"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cores": os.cpu_count(),
        "cpu": model,
        "memory_gib": round(memory / 2**20, 1),
        "python": platform.python_version(),
    }


def save(folder: Path, results: Mapping[str, Any], command: str) -> None:
    """Write ``results.json``, and its table into ``README.md``."""
    document = {"command": command, "date": dt.date.today().isoformat(), "machine": machine(), **results}
    (folder / "results.json").write_text(json.dumps(document, indent=2) + "\n")
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else f"# {folder.name}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{markdown(document)}{END}{rest.partition(END)[2]}")


def markdown(document: Mapping[str, Any]) -> str:
    """The table of the figures, with what they were measured on."""
    about = document["machine"]
    lines = [
        "",
        f"`{document['command']}` on {document['date']}: {document['rows']:,} rows, {document['threads']} thread, "
        f"{about['cpu'] or 'unknown CPU'} ({about['cores']} cores, {about['memory_gib']} GiB), "
        f"Python {about['python']}; " + ", ".join(f"{name} {v}" for name, v in document["versions"].items()) + ".",
        "",
    ]
    for task in dict.fromkeys(row["task"] for row in document["figures"]):
        lines += _table(task, [row for row in document["figures"] if row["task"] == task])
    if errors := document.get("sketch_errors"):
        columns = list(next(iter(errors.values())))
        lines += ["Greatest relative error over the groups:", "", f"| | {' | '.join(columns)} |"]
        lines += ["|---" + "|--:" * len(columns) + "|"]
        lines += [f"| {name} | {' | '.join(f'{found[c]:.3%}' for c in columns)} |" for name, found in errors.items()]
        lines += [""]
    return "\n".join(lines) + "\n"


def _table(task: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"**{task}**",
        "",
        "| contender | rows / CPU s | CPU s of the work | against the first | CPU s of the process | peak MiB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        work = row["work_cpu_seconds"]
        lines.append(
            f"| {row['contender']} | {row['rows_per_cpu_second']:,} | {work['median']:.2f} ({work['min']:.2f} to "
            f"{work['max']:.2f}) | {row['cpu_ratio']:.2f} | {row['process_cpu_seconds']['median']:.2f} | "
            f"{row['peak_memory_mib']['median']:,.0f} |"
        )
    return [*lines, ""]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
