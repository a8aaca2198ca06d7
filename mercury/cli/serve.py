"""`mercury serve`: models, features and metrics of a project over HTTP."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click


@click.command()
@click.option("--project", type=click.Path(path_type=Path), help="The project file.  [default: mercury_project.py]")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port on the loopback.")
def serve(project: Path | None, port: int) -> None:
    """Serve champions (Open Inference Protocol v2), online features (Feast's shape) and metrics until Ctrl-C.

    What the project does not define is not started. Example: mercury serve --port 8000
    """
    from mercury.config import load_settings
    from mercury.errors import UsageError
    from mercury.models import require_champions
    from mercury.projects import load_project
    from mercury.runtime import ray_session
    from mercury.serving.applications import applications_of, serving

    settings = load_settings(project)
    # Before Ray starts: what a replica finds wrong reaches the terminal as a deployment that failed.
    found = load_project(settings.project)
    require_champions(found, settings)
    applications = applications_of(found)
    if not applications:
        raise UsageError(
            "the project has nothing to serve",
            where=str(settings.project),
            fix="Add a Model, a FeatureView or a SemanticModel",
        )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with ray_session(settings), serving(settings, applications, port=port) as url:
        addresses = {"models": "/v2/models", "features": "/features/get-online-features", "analytics": "/analytics/"}
        told = [f"{name.capitalize()}: {url}{addresses[name]}" for name in reversed(applications)]
        click.echo("   ".join(told), err=True)
        ended.wait()
