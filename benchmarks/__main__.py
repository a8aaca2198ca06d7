"""``python -m benchmarks [NAME]``: run one benchmark, or all, and write their results."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from benchmarks import report
from benchmarks.harness import BenchmarkError

HERE = Path(__file__).parent
NAMES = sorted(path.parent.name for path in HERE.glob("*/benchmark.py"))


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--rows", type=click.IntRange(min=1_000), help="Rows of data [default: the benchmark's own].")
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each contender.")
@click.option("--fast", is_flag=True, help="Few rows, once: that everything runs; results are not kept.")
@click.option("--data", type=click.Path(path_type=Path), default=HERE / ".data", help="Where data and answers lie.")
def main(names: tuple[str, ...], rows: int | None, repeat: int, fast: bool, data: Path) -> None:
    """Run benchmarks side by side with their peers and keep the results beside their scripts."""
    for name in names or NAMES:
        benchmark = importlib.import_module(f"benchmarks.{name}.benchmark")
        count = rows or (benchmark.FAST_ROWS if fast else benchmark.DEFAULT_ROWS)
        try:
            results = benchmark.run(data / name, rows=count, repeat=1 if fast else repeat, say=_say)
        except BenchmarkError as error:
            raise click.ClickException(str(error)) from error
        if not fast:
            report.save(HERE / name, results, "python -m benchmarks " + " ".join(sys.argv[1:]))
        click.echo(report.markdown({"command": name, "date": "", "machine": report.machine(), **results}))


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
