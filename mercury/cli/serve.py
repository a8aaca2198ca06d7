"""`mercury serve`: models and features of a project over HTTP."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click


@click.command()
@click.option("--project", type=click.Path(path_type=Path), help="The project file.  [default: mercury_project.py]")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port on the loopback.")
def serve(project: Path | None, port: int) -> None:
    """Serve the champions (Open Inference Protocol v2) and the online features (Feast's shape) until Ctrl-C.

    Example: mercury serve --port 8000
    """
    from mercury.config import load_settings
    from mercury.models import require_champions
    from mercury.projects import load_project
    from mercury.runtime import ray_session
    from mercury.runtime.serving import serving

    settings = load_settings(project)
    # Before Ray starts: what a replica finds wrong reaches the terminal as a deployment that failed.
    require_champions(load_project(settings.project), settings)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with ray_session(settings), serving(settings, port=port) as url:
        click.echo(f"Models: {url}/v2/models   Features: {url}/features/get-online-features", err=True)
        ended.wait()
