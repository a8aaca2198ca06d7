"""`mercury forecast`: a bare CSV or Parquet file to forecasts with intervals. Needs no project."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mercury.errors import MercuryError, PartialError, UsageError
from mercury.files.writing import is_same_file, replacing

if TYPE_CHECKING:
    from mercury.forecasting import Forecast

_SHOWN = 8


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-h", "--horizon", type=click.IntRange(min=1), required=True, help="Steps ahead.")
@click.option("--time", help="Column of times  [default: found].")
@click.option("--value", help="Column of values  [default: found].")
@click.option("--id", "ids", help="Column that names the series, or several as store,item  [default: found].")
@click.option("--freq", help="s, min, h, D, B, W, MS, ME, QS, QE, YS or YE, with a number before it  [default: found].")
@click.option("--season", type=click.IntRange(min=1), help="Steps of a season, 1 for none  [default: found].")
@click.option("--level", "levels", default="80,95", show_default=True, help="Prediction intervals, in percent.")
@click.option("--folds", type=click.IntRange(min=0), help="Origins of the backtest  [default: what intervals need].")
@click.option(
    "--gaps",
    type=click.Choice(["auto", "interpolate", "zero", "refuse"]),
    default="auto",
    show_default=True,
    help="What a missing step means; auto interpolates while at most a fifth of a series is missing.",
)
@click.option(
    "--duplicates",
    type=click.Choice(["refuse", "sum", "mean", "last"]),
    default="refuse",
    show_default=True,
    help="What several rows of one series and time mean.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the forecasts as CSV or Parquet.")
@click.option("--report", type=click.Path(path_type=Path), help="Write one HTML file.")
@click.option("--plot", type=click.Path(path_type=Path), help="Write a PNG of the first series.")
@click.option("--format", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)
def forecast(
    data: Path,
    horizon: int,
    time: str | None,
    value: str | None,
    ids: str | None,
    freq: str | None,
    season: int | None,
    levels: str,
    folds: int | None,
    gaps: Any,
    duplicates: Any,
    output: Path | None,
    report: Path | None,
    plot: Path | None,
    form: str,
) -> None:
    """Forecast every series of DATA, a CSV or Parquet file.

    mercury forecast daily.csv --horizon 14 --report forecast.html
    """
    from mercury.forecasting import forecast as run
    from mercury.forecasting import read_panel, write_html, write_png

    for option, path, suffixes in (("--output", output, (".csv", ".parquet")), ("--plot", plot, (".png",))):
        if path is not None and path.suffix not in suffixes:
            raise UsageError(
                f"{str(path)!r} does not end in {' or '.join(suffixes)}", where=option, fix="Name the file so"
            )
    for option, path in (("--output", output), ("--report", report), ("--plot", plot)):
        if path is not None and is_same_file(path, data):
            raise UsageError(f"{str(path)!r} is the file that is read", where=option, fix="Write to another file")
    panel = read_panel(data, time=time, value=value, id=_names(ids), freq=freq, gaps=gaps, duplicates=duplicates)
    made = run(panel, horizon, levels=_levels(levels), season=season, folds=folds)
    # Files first: whoever reads stdout may go away, as in `mercury forecast … | head`.
    outputs = ((output, _write), (report, write_html), (plot, write_png))
    failed = [error for path, write in outputs if path is not None and (error := _write_file(path, made, write))]
    if form == "json":
        click.echo(json.dumps(made.to_dict()))
    else:
        for note in made.notes:
            click.echo(f"  {note}", err=True)
        for line in _lines(made):
            click.echo(line)
    if failed:
        raise failed[0]


def _write_file(path: Path, made: Forecast, write: Callable[[Forecast, Path], None]) -> PartialError | None:
    """Write one file; the error to end with when that cannot be done, since the forecast can still be told."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(made, path)
    except (OSError, MercuryError) as error:
        return PartialError(
            f"the forecast was made, but not written: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            fix="Give another path and run again",
        )
    click.echo(f"wrote {path}", err=True)
    return None


def _names(text: str | None) -> list[str]:
    return [name for name in (text or "").split(",") if name]


def _levels(text: str) -> list[int]:
    try:
        return sorted({int(part) for part in text.split(",") if part.strip()})
    except ValueError as error:
        raise UsageError(f"{text!r} are no percentages", where="--level", fix="Write them as 80,95") from error


def _write(made: Forecast, path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    with replacing(path) as beside:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(made.table, beside)
        else:
            pyarrow.parquet.write_table(made.table, beside)


def _lines(made: Forecast) -> list[str]:
    lines = []
    if made.backtest.folds:
        lines += [f"{'method':<20}{'MASE':>8}{'sMAPE %':>10}   over {made.backtest.folds} earlier origins"]
        lines += [f"{row['method']:<20}{row['mase']:>8.3f}{row['smape']:>10.2f}" for row in made.leaderboard]
        held, past = _held(made.coverage), _held(made.past_coverage)
        lines.append(f"{held} of earlier values" if held else "too few origins: coverage was not measured")
        lines += [f"{past} when learnt from still earlier origins alone", ""] if past else [""]
    rows = [[*made.table.column_names], *([_cell(value) for value in row.values()] for row in made.rows(_SHOWN))]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if made.table.num_rows > _SHOWN:
        lines.append(f"… {made.table.num_rows - _SHOWN:,} more rows: see --output, --report or --format json")
    return lines


def _held(coverage: Mapping[int, float]) -> str:
    known = {level: value for level, value in coverage.items() if not math.isnan(value)}
    return "; ".join(f"{level} % intervals held {value:.1%}" for level, value in known.items())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return "-" if value is None else str(value).removesuffix("T00:00:00Z")
