"""`mercury forecast` on real flights per day: what it says, writes and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, flights: pa.Table) -> Path:
    found = tmp_path_factory.mktemp("forecast")
    with duckdb.connect() as connection:
        connection.register("flights", flights)
        day = "make_date(year, month, day) AS day"
        for name, columns in (("daily", f"{day}, carrier"), ("total", day)):
            query = f"SELECT {columns}, count(*) AS flights FROM flights GROUP BY ALL ORDER BY ALL"
            connection.execute(f"COPY ({query}) TO '{found / name}.csv' (HEADER)")
    return found


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("mercury"))
    return subprocess.run([program, "forecast", *arguments], cwd=folder, capture_output=True, text=True)


def test_flights_per_day_with_every_output(folder: Path) -> None:
    done = run(folder, "total.csv", "--horizon", "14", "-o", "out.parquet", "--report", "r.html", "--plot", "p.png")

    assert done.returncode == 0, done.stderr
    assert "season of 7 steps found" in done.stderr
    assert "SeasonalNaive" in done.stdout and "80 % intervals held" in done.stdout
    table = pq.read_table(folder / "out.parquet")
    assert table.column_names == ["ds", "forecast", "lo-80", "hi-80", "lo-95", "hi-95"]
    assert [str(table["ds"][place].as_py())[:10] for place in (0, 13)] == ["2014-01-01", "2014-01-14"]
    # Saturdays have far fewer flights; the 4th and the 11th of January 2014 are Saturdays.
    by_day = table["forecast"].to_pylist()
    assert min(range(14), key=by_day.__getitem__) in (3, 10)
    assert all(600 < value < 1_100 for value in by_day)
    html = (folder / "r.html").read_text()
    assert "DampedHoltWinters" in html and html.count("<figure") == 1 and "<script" not in html
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")


def test_carriers_as_json_with_the_irregular_ones_as_told(folder: Path) -> None:
    done = run(folder, "daily.csv", "-h", "7", "--gaps", "zero", "--format", "json", "--level", "80")

    document = json.loads(done.stdout)
    assert (document["series"], document["frequency"], document["season"]) == (16, "D", 7)
    assert abs(document["coverage"]["80"] - 0.8) < 0.05
    board = [(row["mase"], row["method"]) for row in document["leaderboard"]]
    assert board == sorted(board)
    assert {method for _, method in board} == {"SeasonalNaive", "DOTM", "DampedHoltWinters", "Combined"}
    assert any("377 missing steps in 4 of 16 series were filled by zero" in note for note in document["notes"])
    assert {row["id"] for row in document["forecasts"]} >= {"UA", "OO"}
    assert set(document["forecasts"][0]) == {"id", "ds", "forecast", "lo-80", "hi-80"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["daily.csv", "-h", "7"], 5, "90% of the steps of 'OO' are missing, the first at 2013-01-31"),
        (["gone.csv", "-h", "7"], 4, "the file 'gone.csv' does not exist"),
        (["total.csv", "-h", "7", "--value", "flight"], 5, "Did you mean 'flights'?"),
        (["total.csv", "-h", "7", "--level", "high"], 2, "'high' are no percentages (--level). Write them as 80,95"),
        (["total.csv", "-h", "7", "--level", "100"], 2, "level 100 is no percentage"),
        (["total.csv", "-h", "7", "-o", "out.xls"], 2, "'out.xls' does not end in .csv or .parquet"),
        (["total.csv", "-h", "7", "--plot", "out.txt"], 2, "'out.txt' does not end in .png"),
        (["total.csv", "-h", "90000", "--freq", "MS"], 5, "rows lie between the steps of MS"),
        (["total.csv", "-h", "0"], 2, "--horizon"),
        (["total.csv"], 2, "--horizon"),
    ],
)
def test_mistakes(folder: Path, arguments: list[str], code: int, message: str) -> None:
    done = run(folder, *arguments)

    assert done.returncode == code
    assert message in done.stderr
    assert done.stdout == ""


def test_pictures_and_pages_take_any_name_as_text(tmp_path: Path) -> None:
    days = [f"2026-01-{day:02d}" for day in range(1, 31)]
    names = ["$\\no_such_formula$", "<b>&amp;</b>"]
    rows = [f'{day},"{name}",{place % 7}' for name in names for place, day in enumerate(days)]
    (tmp_path / "odd.csv").write_text("ds,shop,y\n" + "\n".join(rows))

    done = run(tmp_path, "odd.csv", "-h", "5", "--plot", "new/odd.png", "--report", "new/odd.html")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new" / "odd.png").read_bytes().startswith(b"\x89PNG")
    html = (tmp_path / "new" / "odd.html").read_text()
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt;" in html and "<b>&amp;</b>" not in html and "://" not in html


def test_results_are_on_stdout_even_when_a_file_cannot_be_written(folder: Path) -> None:
    done = run(folder, "total.csv", "-h", "3", "--folds", "0", "--format", "json", "-o", "total.csv/out.csv")

    assert done.returncode == 6
    assert len(json.loads(done.stdout)["forecasts"]) == 3
    assert "the forecast was made, but not written" in done.stderr and "total.csv/out.csv" in done.stderr


def test_a_small_forecast_starts_no_engine_and_imports_no_pandas(folder: Path) -> None:
    code = (
        "import sys; from mercury.forecasting import forecast, read_panel; forecast(read_panel('total.csv'), 7); "
        "print(sorted({'ray', 'matplotlib', 'duckdb', 'lightgbm', 'sktime', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)

    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("option", ["--output", "--report", "--plot"])
def test_the_file_that_is_read_is_never_written(tmp_path: Path, option: str) -> None:
    suffix = {"--output": ".csv", "--report": ".html", "--plot": ".png"}[option]
    data, link = tmp_path / "data.csv", tmp_path / f"link{suffix}"
    data.write_text("ds,y\n" + "".join(f"2024-01-{day:02},{day}\n" for day in range(1, 32)))
    before = data.read_bytes()
    link.symlink_to(data)

    ended = run(tmp_path, "data.csv", "--horizon", "3", option, link.name)

    assert ended.returncode == 2, ended.stderr
    assert "is the file that is read" in ended.stderr
    assert data.read_bytes() == before
