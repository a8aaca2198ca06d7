"""`mercury quality`: check data against a contract, profile it, lint a contract. Needs no project."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mercury.errors import MercuryError, PartialError, UsageError
from mercury.files.writing import write_text

if TYPE_CHECKING:
    from mercury.quality.profile import ColumnProfile, Profile
    from mercury.quality.results import Report

OUTPUTS = ("html", "json", "junit", "sarif")


@click.group()
def quality() -> None:
    """Check data against a contract.

    SRC is a CSV or Parquet file, a folder or quoted glob of Parquet files, or a Delta table.
    """


@quality.command()
@click.argument("src")
@click.option("-c", "--contract", required=True, help="ODCS contract file (YAML).")
@click.option("--table", help="Table of the contract; needed when it has several.")
@click.option("--format", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)
@click.option("-o", "--output", multiple=True, metavar="KIND=FILE", help=f"Also write a report: {', '.join(OUTPUTS)}.")
@click.option("--quarantine", "folder", metavar="DIR", help="Write bad rows with their reasons to DIR/bad.parquet.")
@click.option("--good", is_flag=True, help="With --quarantine, write the good rows to DIR/good.parquet.")
@click.option("--cap", type=click.IntRange(min=1), help="Write at most so many bad rows per check; all are counted.")
@click.option("--fail-on", type=click.Choice(["warn", "error", "never"]), default="error", show_default=True)
@click.option("--engine", type=click.Choice(["auto", "arrow", "ray"]), default="auto", show_default=True)
@click.option("--reference", multiple=True, metavar="TABLE=SRC", help="Data of a table that foreign keys refer to.")
@click.option(
    "--null", "nulls", multiple=True, metavar="TEXT", help="What means null in CSV [default: empty, NA, NULL]."
)
@click.option("--now", help="The clock of freshness checks, ISO 8601 [default: now].")
def check(
    src: str,
    contract: str,
    table: str | None,
    form: str,
    output: tuple[str, ...],
    folder: str | None,
    good: bool,
    cap: int | None,
    fail_on: str,
    engine: Any,
    reference: tuple[str, ...],
    nulls: tuple[str, ...],
    now: str | None,
) -> int:
    """Check SRC against a contract in one pass.

    Exits with 0 when the data keeps the contract, 5 when it breaks it, 6 when only a check could not be computed,
    2 when an option or the contract is wrong, 4 when SRC or the contract is not there.

    \b
    mercury quality check flights.parquet -c flights.odcs.yaml -o html=report.html --quarantine bad/
    """
    from mercury.config import load_settings
    from mercury.quality import exit_code, load_contract
    from mercury.quality.csv_source import NULL_TEXTS
    from mercury.quality.lineage import assertions
    from mercury.quality.opening import open_source
    from mercury.quality.report import render
    from mercury.quality.run import check as run_check
    from mercury.runtime import lineage

    outputs = _pairs(output, "-o", OUTPUTS)
    references: dict[str, Any] = dict(_pairs(reference, "--reference", None))
    agreed = load_contract(contract, table)
    types = {column.name: column.logical_type or "" for column in agreed.columns}
    source = open_source(src, column_types=types, nulls=nulls or NULL_TEXTS)
    settings = lineage.inside_project(load_settings())
    with lineage.run(f"check.{agreed.table or agreed.id}", settings=settings) as told:
        report = run_check(source, agreed, engine=engine, references=references, now=_instant(now))
        told.input(src, version=report.source_version, rows=report.rows, assertions=assertions(report))
        for referenced in references.values():
            told.input(referenced)
        if folder:
            from mercury.quality.quarantine import quarantine

            split = quarantine(source, agreed, folder, good=good, cap=cap)
            report = replace(report, quarantine=split.to_dict())
            told.output(split.bad_path, rows=split.written_rows)
            if split.good_path is not None:
                told.output(split.good_path, rows=split.good_rows)
            click.echo(f"{split.bad_rows:,} bad rows, {split.written_rows:,} written to {split.bad_path}", err=True)
    _write(report, outputs)
    click.echo(render(report, form), nl=False)
    return exit_code((result.verdict for result in report.results), fail_on)


@quality.command()
@click.argument("src")
@click.option("-c", "--contract", help="ODCS contract: types a CSV file, and redacts sensitive columns.")
@click.option("--table", help="Table of the contract; needed when it has several.")
@click.option("--format", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)
def profile(src: str, contract: str | None, table: str | None, form: str) -> None:
    """Counts, nulls, NaN, distinct values, extremes, mean and quantiles of each column of SRC."""
    from mercury.quality import load_contract
    from mercury.quality.profile import profile as run_profile
    from mercury.quality.run import as_source

    agreed = load_contract(contract, table) if contract else None
    found = run_profile(as_source(src, agreed), agreed)
    if form == "json":
        click.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_profile_lines(found)))


@quality.command()
@click.argument("contract")
@click.option("--format", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)
def lint(contract: str, form: str) -> None:
    """Say whether a contract can be used, where not, and what of it is not evaluated."""
    from mercury.quality import load_contract
    from mercury.quality.formats.odcs import table_names

    read = [load_contract(contract, name) for name in table_names(contract)]
    if not read:
        raise UsageError("the contract describes no table", where=contract, fix="Add a schema with its properties")
    if form == "json":
        tables = [
            {
                "table": one.table,
                "columns": len(one.columns),
                "checks": len(one.checks),
                "row_checks": len(one.row_checks),
                "not_evaluated": [{"check": c.name, "why": c.why, "line": c.line} for c in one.not_evaluated],
            }
            for one in read
        ]
        click.echo(json.dumps({"file": contract, "tables": tables}, indent=2, ensure_ascii=False))
        return
    for one in read:
        counts = f"{len(one.columns)} columns, {len(one.checks)} checks, {len(one.row_checks)} of them on rows"
        click.echo(f"{contract}: table {one.table}: {counts}")
        for part in one.not_evaluated:
            click.echo(f"  not evaluated: {part.name}: {part.why}  [{contract}:{part.line}]")


def _pairs(texts: Sequence[str], option: str, known: Sequence[str] | None) -> list[tuple[str, str]]:
    found = []
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not value or (known is not None and name not in known):
            choices = f", NAME one of {', '.join(known)}" if known else ""
            raise UsageError(f"{option} {text!r} cannot be read", fix=f"Write {option} NAME=PATH{choices}")
        found.append((name, value))
    return found


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    from mercury.time import SECOND, parse_instant

    return datetime.fromtimestamp(parse_instant(text) / SECOND, UTC)


def _write(report: Report, outputs: Sequence[tuple[str, str]]) -> None:
    from mercury.quality.report import render

    for form, path in outputs:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_text(path, render(report, form))
        except (OSError, MercuryError) as error:
            why = getattr(error, "strerror", None) or error
            raise PartialError(
                f"the checks ran ({report.verdict.value}), but the {form} report was not written: {why}",
                where=path,
                fix="Give another path and run again",
            ) from error
        click.echo(f"{form} report: {path}", err=True)


def _profile_lines(found: Profile) -> list[str]:
    head = ("column", "type", "nulls", "nan", "distinct", "least", "median", "mean", "std", "greatest")
    rows = [head, *(_profile_row(column) for column in found.columns)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    right = {2, 3, 4, 6, 7, 8}
    lines = [
        "  ".join(text.rjust(width) if place in right else text.ljust(width) for place, (text, width) in pairs).rstrip()
        for pairs in (list(enumerate(zip(row, widths, strict=True))) for row in rows)
    ]
    notes = [f"{column.name}: {column.error}" for column in found.columns if column.error]
    return [*lines, "", f"{found.source}: {found.rows:,} rows", *notes]


def _profile_row(column: ColumnProfile) -> tuple[str, ...]:
    def figure(value: Any) -> str:
        if value is None:
            return ""
        text = f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        return text if len(text) <= 26 else text[:25] + "…"

    return (
        column.name,
        column.type,
        figure(column.nulls),
        figure(column.nan),
        figure(column.distinct),
        figure(column.least),
        figure(column.quantiles.get("0.5")),
        figure(column.mean),
        figure(column.std),
        figure(column.greatest),
    )
