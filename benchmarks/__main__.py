"""``python -m benchmarks [NAME]``: run one benchmark, or all, and write their results."""

from __future__ import annotations

import importlib
import shlex
import sys
from pathlib import Path

import click

from benchmarks import report
from benchmarks.harness import BenchmarkError

HERE = Path(__file__).parent
NAMES = sorted(path.parent.name for path in HERE.glob("*/benchmark.py"))


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, type=click.Choice(NAMES))
@click.option("--list", "listed", is_flag=True, help="Only name the benchmarks.")
@click.option("--rows", type=click.IntRange(min=1_000), help="Rows of data [default: the benchmark's own].")
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each contender.")
@click.option("--only", multiple=True, metavar="CONTENDER", help="Only these; results are not kept.")
@click.option("--fast", is_flag=True, help="Few rows, once: that everything runs; results are not kept.")
@click.option("--data", type=click.Path(path_type=Path), default=HERE / ".data", help="Where data and answers lie.")
def main(
    names: tuple[str, ...],
    listed: bool,
    rows: int | None,
    repeat: int,
    only: tuple[str, ...],
    fast: bool,
    data: Path,
) -> None:
    """Run benchmarks side by side with their peers and keep the results beside their scripts."""
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    for name in names or NAMES:
        benchmark = importlib.import_module(f"benchmarks.{name}.benchmark")
        if listed:
            click.echo(f"{name:<16}{benchmark.ABOUT}")
            continue
        unknown = sorted(set(only) - set(benchmark.CONTENDERS))
        if unknown:
            raise click.BadParameter(
                f"{unknown[0]!r} is none of {', '.join(benchmark.CONTENDERS)}", param_hint="--only"
            )
        count = rows or (benchmark.FAST_ROWS if fast else benchmark.DEFAULT_ROWS)
        document = report.about(command)
        try:
            document |= benchmark.run(
                (data / name).resolve(), rows=count, repeat=1 if fast else repeat, only=only, say=_say
            )
        except BenchmarkError as error:
            raise click.ClickException(str(error)) from error
        if not (fast or only):
            report.save(HERE / name, document)
        click.echo(report.markdown(document))


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
