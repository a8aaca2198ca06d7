"""Results as JSON beside a benchmark's scripts, and as tables in its README."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT

BEGIN, END = "<!-- results: written by `python -m benchmarks` -->", "<!-- end of results -->"


def about(command: str) -> dict[str, Any]:
    """What the figures were measured by and on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "command": command,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "commit": _commit(),
        "machine": {
            "cores": os.cpu_count(),
            "cpu": model,
            "memory_gib": round(memory / 2**20, 1),
            "python": platform.python_version(),
        },
    }


def save(folder: Path, document: Mapping[str, Any]) -> None:
    """Write ``results.json``, and its tables into ``README.md`` between `BEGIN` and `END`."""
    (folder / "results.json").write_text(json.dumps(document, indent=2) + "\n")
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else f"# {folder.name}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{markdown(document)}{END}{rest.partition(END)[2]}")


def markdown(document: Mapping[str, Any]) -> str:
    """The tables of the figures, with what they were measured on."""
    machine = document["machine"]
    lines = [
        "",
        f"`{document['command']}` on {document['date']} at {document['commit'] or 'no commit'}: {document['rows']:,} "
        f"rows, {machine['cpu'] or 'unknown CPU'} ({machine['cores']} cores, {machine['memory_gib']} GiB), Python "
        f"{machine['python']}; " + ", ".join(f"{name} {v}" for name, v in document["versions"].items()) + ".",
        "",
    ]
    for task, threads in dict.fromkeys((row["task"], row["threads"]) for row in document["figures"]):
        rows = [row for row in document["figures"] if (row["task"], row["threads"]) == (task, threads)]
        lines += _table(f"{task}, {threads} thread{'s' * (threads > 1)}", rows)
    if errors := document.get("sketch_errors"):
        columns = list(next(iter(errors.values())))
        lines += ["Greatest relative error over the groups:", "", f"| | {' | '.join(columns)} |"]
        lines += ["|---" + "|--:" * len(columns) + "|"]
        lines += [f"| {name} | {' | '.join(f'{found[c]:.3%}' for c in columns)} |" for name, found in errors.items()]
        lines += [""]
    for extra in document.get("tables", ()):
        lines += [f"{extra['title']}:", "", f"| {' | '.join(extra['columns'])} |"]
        lines += ["|---" + "|--:" * (len(extra["columns"]) - 1) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in extra["rows"]]
        lines += [""]
    return "\n".join(lines) + "\n"


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"**{title}**",
        "",
        f"| | rows / CPU s | rows / s | CPU s | wall s | CPU against {rows[0]['contender']} | wall against it "
        "| start-up CPU s | start-up s | peak MiB |",
        "|---" + "|--:" * 9 + "|",
    ]
    for row in rows:
        middle = {name: f"{value['median']:,.2f}" for name, value in row.items() if isinstance(value, Mapping)}
        cells = [
            row["contender"],
            f"{row['rows_per_cpu_second']:,}",
            f"{row['rows_per_wall_second']:,}",
            _range(row["work_cpu_seconds"]),
            _range(row["work_wall_seconds"]),
            _range(row["cpu_ratio"]),
            middle["wall_ratio"],
            middle["startup_cpu_seconds"],
            middle["startup_wall_seconds"],
            f"{row['peak_memory_mib']['median']:,.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _range(spread: Mapping[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['min']:.2f} to {spread['max']:.2f})"


def _commit() -> str | None:
    """The commit that was measured, with "+" when the code was another than committed; None outside of git."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
        code = [*git, "status", "--porcelain", "--", "mercury", "benchmarks/**/*.py"]
        changed = subprocess.run(code, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.strip() + ("+" if changed.strip() else "")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
