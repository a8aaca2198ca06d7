"""Loading a project file: import it, find its `Project`, hash its contracts, check its expressions."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from mercury.definitions import (
    Aggregate,
    BatchTable,
    FeatureView,
    Model,
    Monitor,
    Named,
    PrivacyPolicy,
    Project,
    SemanticModel,
    Stream,
    Window,
    arrow_schema,
)
from mercury.errors import ExpressionError, MercuryError, ProjectError


def load_project(path: Path | str) -> Project:
    """The one `Project` of a project file, with the SHA-256 of each contract it names filled in.

    The file is Python and is run: load only files that you trust. Modules beside it can be imported.

    Raises `ProjectError` with file and line when the file is missing, cannot be imported, or holds no project or
    several; `DefinitionError` and `ExpressionError` keep their class and gain the line or the definition's address.
    """
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise ProjectError("there is no project file", where=str(file), fix="Create it, or name one with --project")
    module = _run(file)
    found = {id(value): value for value in vars(module).values() if isinstance(value, Project)}
    if len(found) != 1:
        names = ", ".join(project.name for project in found.values())
        raise ProjectError(
            f"the file holds {len(found)} projects ({names})" if found else "the file holds no project",
            where=str(file),
            fix="Keep one: project = Project('name', [streams, views, models …])",
        )
    (project,) = found.values()
    check_expressions(project)
    return project.with_contracts(dict(_contracts(project, file)))


def check_expressions(project: Project) -> None:
    """Raise `ExpressionError` for the first expression that does not fit the columns of its source, `DefinitionError`
    for a metric that is made of itself or of one that does not exist."""
    for place, source, text, is_condition in _expressions(project):
        # Imported here, since a project without expressions need not load the engine behind them.
        from mercury.expressions import Expression

        schema = arrow_schema(source.schema)
        try:
            expression = Expression.parse(text)
            if is_condition:
                expression.check_condition(schema)
            else:
                expression.check(schema)
        except ExpressionError as error:
            raise _placed(error, place) from error
    for model in project.of(SemanticModel):
        from mercury.analytics.model import resolve

        resolve(model)


def _run(file: Path) -> ModuleType:
    # The name is the file's own, so that two project files in one process do not share a module.
    name = f"mercury_project_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ProjectError("the project file is not a Python file", where=str(file), fix="Name it mercury_project.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        caret = f"    {(error.text or '').rstrip()}\n    {' ' * max(0, (error.offset or 1) - 1)}^"
        raise ProjectError(
            f"the project file is not Python: {error.msg}", where=f"{error.filename}:{error.lineno}", excerpt=caret
        ) from error
    except MercuryError as error:
        raise _placed(error, _line(error, file)) from error
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise ProjectError(
            f"the project file fails with {type(error).__name__}: {error}", where=_line(error, file)
        ) from error
    finally:
        sys.path.remove(str(file.parent))
    return module


def _line(error: BaseException, file: Path) -> str:
    """File and line of the project file that led to the error."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    return f"{file}:{lines[-1]}" if lines else str(file)


def _placed(error: MercuryError, place: str) -> MercuryError:
    where = f"{place}, {error.where}" if error.where else place
    return type(error)(error.what, where=where, fix=error.fix, excerpt=error.excerpt)


def _contracts(project: Project, file: Path) -> Iterator[tuple[str, str]]:
    for stream in project.of(Stream):
        if stream.contract is None:
            continue
        path = file.parent / stream.contract
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ProjectError(
                f"the contract {stream.contract!r} of {stream.address} cannot be read: {error.strerror}",
                where=str(file),
                fix=f"Put it at {path}",
            ) from error
        if stream.contract_sha256 not in (None, digest):
            raise ProjectError(
                f"the contract {stream.contract!r} of {stream.address} has the SHA-256 {digest}",
                where=f"{file}, {stream.address}.contract_sha256",
                fix="Write that, or leave contract_sha256 out: it is filled in when the project is loaded",
            )
        yield stream.contract, digest


def _expressions(project: Project) -> Iterator[tuple[str, Stream | BatchTable, str, bool]]:
    """Each expression of the project: definition and field, source of the rows, text, whether it is a condition.

    Those of a feature or an aggregate are placed by its name, as in ``Window/hourly.aggregates.late``.
    """
    for part in project.definitions:
        source, conditions, values = _written(part)
        if source is None:
            continue
        for field, text in conditions.items():
            if text is not None:
                yield f"{part.address}.{field}", source, text, True
        for field, value in values.items():
            place = f"{part.address}.{field}"
            if isinstance(value, str):
                yield place, source, value, False
            elif isinstance(value, Aggregate):
                if value.of is not None:
                    yield f"{place}.of", source, value.of, False
                if value.where is not None:
                    yield f"{place}.where", source, value.where, True


def _written(
    part: Named,
) -> tuple[Stream | BatchTable | None, Mapping[str, str | None], Mapping[str, object]]:
    """Whose rows a definition's expressions are over, its conditions, and its values, by field."""
    match part:
        case Stream():
            return part, {"heartbeat": part.heartbeat}, {}
        case Window():
            return part.source, {"where": part.where}, _inside("aggregates", part.aggregates)
        case FeatureView():
            return part.source, {"where": part.where}, _inside("features", part.columns)
        case Model():
            return part.labels, {"where": part.where}, {"label": part.label}
        case Monitor(model=Model(labels=labels)):
            return labels, {"watch_where": part.watch_where}, _inside("watch", part.watch)
        case SemanticModel():
            values = _inside("dimensions", part.dimensions) | _inside("metrics", part.metrics)
            return part.source, {"where": part.where}, values
        case PrivacyPolicy():
            return part.source, {}, {"unit": part.unit}
        case _:
            return None, {}, {}


def _inside(field: str, parts: Mapping[str, object]) -> dict[str, object]:
    return {f"{field}.{name}": value for name, value in parts.items()}
