"""`mercury private`: questions about people, what is left of their budget, and whether the promises were kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mercury.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from mercury.definitions import Aggregate, PrivacyPolicy
    from mercury.privacy import Loss, Release

_project = click.option("--project", "project_file", type=click.Path(path_type=Path), help="Project file.")
_format = click.option(
    "--format", "form", type=click.Choice(["human", "json"]), default="human", help="Form of the result."
)


@click.group()
def private() -> None:
    """Answer questions about people with differential privacy.

    POLICY names a PrivacyPolicy of the project.
    """


@private.command()
@click.argument("policy")
@click.option(
    "-a",
    "--aggregate",
    "aggregates",
    multiple=True,
    metavar="NAME=WHAT",
    help="count, count:CONDITION, sum:COLUMN, mean:COLUMN or units; several.  [default: n=count]",
)
@click.option("--by", metavar="A,B", default="", help="Columns to group by.")
@click.option("--where", metavar="SQL", help="Condition on the rows.")
@click.option("--analyst", required=True, help="Who asks; the ledger keeps account of each.")
@click.option("--epsilon", type=float, help="What the answer may cost  [default: the policy's].")
@click.option("--dry-run", is_flag=True, help="Only say what it would cost and how precise it would be.")
@_project
@_format
def query(
    policy: str,
    aggregates: tuple[str, ...],
    by: str,
    where: str | None,
    analyst: str,
    epsilon: float | None,
    dry_run: bool,
    project_file: Path | None,
    form: str,
) -> None:
    """Ask POLICY's source a question; the same question again costs nothing.

    mercury private query aircraft -a flights=count -a delay=mean:dep_delay --by origin --analyst ann
    """
    from mercury.config import load_settings
    from mercury.privacy import ask

    found = _policy(policy, project_file)
    asked = dict(_aggregate(text, found) for text in aggregates or ("n=count",))
    release = ask(
        found,
        load_settings(project_file),
        aggregates=asked,
        by=[column.strip() for column in by.split(",") if column.strip()],
        where=where,
        analyst=analyst,
        epsilon=epsilon,
        dry_run=dry_run,
    )
    if form == "json":
        click.echo(json.dumps(_as_json(release)))
        return
    if release.table is not None:
        for line in _lines(release):
            click.echo(line)
    verb = (
        "would cost" if release.table is None else "was released before and cost nothing" if release.cached else "cost"
    )
    click.echo(f"it {verb}" + ("" if release.cached else f" {release.cost}"), err=True)
    for name, error in release.errors.items():
        click.echo(f"{name} is within {error:g} of the bounded value with 95 % probability", err=True)
    click.echo(f"{analyst} may still spend {release.remaining}", err=True)


@private.command()
@click.argument("policy")
@_project
@_format
def budget(policy: str, project_file: Path | None, form: str) -> None:
    """Show what was spent of POLICY's source, by whom, and what is left."""
    from mercury.config import load_settings
    from mercury.privacy import ledger_of
    from mercury.privacy.ledger import dataset_of

    found = _policy(policy, project_file)
    ledger = ledger_of(load_settings(project_file))
    lines = ledger.history(dataset_of(found))
    people = {name: ledger.spent(found, name) for name in sorted({line.analyst for line in lines})}
    spent, left = ledger.spent(found), ledger.remaining(found)
    if form == "json":
        document = {
            "dataset": dataset_of(found),
            "charges": len(lines),
            "spent": _loss(spent),
            "remaining": _loss(left),
            "analysts": {name: _loss(loss) for name, loss in people.items()},
        }
        click.echo(json.dumps(document))
        return
    click.echo(f"{dataset_of(found)}: {len(lines)} answers were charged")
    click.echo(f"  spent {spent}")
    click.echo(f"  left  {left}")
    for name, loss in people.items():
        click.echo(f"  {name} spent {loss}")


@private.command()
@click.argument("policy")
@click.option("--draws", type=click.IntRange(min=1000), default=40_000, show_default=True, help="Draws of each noise.")
@click.option("--seen", metavar="HASH", help="The last line's hash of an earlier audit, which must still be there.")
@_project
@_format
def audit(policy: str, draws: int, seen: str | None, project_file: Path | None, form: str) -> int:
    """Check the ledger's chain, and that the noise of POLICY keeps its epsilon; exits with 5 when it does not.

    Keep the printed hash where nobody can change it who can change the ledger: with --seen, the next audit finds lines
    that were cut off or written anew.
    """
    from mercury.config import load_settings
    from mercury.privacy import ledger_of
    from mercury.privacy.audit import audit as run

    found = _policy(policy, project_file)
    ledger = ledger_of(load_settings(project_file))
    head = ledger.head()
    lines = ledger.verify(seen)
    results = run(found, draws=draws)
    if form == "json":
        rows = [
            {"sensitivity": one.sensitivity, "promised": one.promised, "lower_bound": round(one.lower_bound, 4),
             "kept": one.kept}
            for one in results
        ]  # fmt: skip
        click.echo(json.dumps({"ledger_lines": lines, "ledger_head": head, "noise": rows}))
    else:
        click.echo(f"the ledger's {lines} lines are as they were written, up to {head or 'none'}")
        for one in results:
            word = "keeps" if one.kept else "BREAKS"
            click.echo(
                f"noise for a sensitivity of {one.sensitivity:,} {word} epsilon {one.promised:g}: "
                f"{draws:,} draws show {one.lower_bound:.3f} or more"
            )
    return 0 if all(one.kept for one in results) else 5


def _policy(name: str, project_file: Path | None) -> PrivacyPolicy:
    from mercury.config import load_settings
    from mercury.definitions import PrivacyPolicy
    from mercury.projects import load_project

    return load_project(load_settings(project_file).project).get(PrivacyPolicy, name)


def _aggregate(text: str, policy: PrivacyPolicy) -> tuple[str, Aggregate]:
    from mercury.definitions import Count, CountDistinct, Mean, Sum

    name, equals, what = text.partition("=")
    kind, _, of = what.partition(":")
    if equals and kind == "count":
        return name, Count(where=of) if of else Count()
    if equals and kind in ("sum", "mean") and of:
        return name, (Sum if kind == "sum" else Mean)(of)
    if equals and kind == "units" and not of:
        return name, CountDistinct(policy.unit, exact=True)
    fix = did_you_mean(kind, ["count", "sum", "mean", "units"]) if equals else None
    raise UsageError(f"{text!r} is no aggregate", where="--aggregate", fix=fix or "Write delay=mean:dep_delay")


def _lines(release: Release) -> list[str]:
    assert release.table is not None
    names = [name for name in release.table.column_names if f"{name}_error" in release.table.column_names]
    rows = [[name for name in release.table.column_names if not name.endswith("_error") or name in names]]
    for row in release.table.to_pylist():
        rows.append(
            [f"{_figure(row[name])} ± {_figure(row[f'{name}_error'])}" if name in names else str(row[name])
             for name in rows[0]]
        )  # fmt: skip
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _figure(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _as_json(release: Release) -> dict[str, Any]:
    return {
        "rows": None if release.table is None else release.table.to_pylist(),
        "cost": _loss(release.cost),
        "cached": release.cached,
        "spent": _loss(release.spent),
        "remaining": _loss(release.remaining),
        "errors": dict(release.errors),
        "question": release.question,
    }


def _loss(loss: Loss) -> dict[str, float]:
    return {"epsilon": float(loss.epsilon), "delta": float(loss.delta)}
