"""`mercury live`: metrics over HTTP and a page that moves, in this process."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--project", "project_file", type=click.Path(path_type=Path), help="Project file.")
@click.option("--port", type=click.IntRange(1, 65535), default=8090, show_default=True, help="Port to listen on.")
def live(project_file: Path | None, port: int) -> None:
    """Answer queries (POST /v1/query) and show the live page until Ctrl-C. Ray is not needed.

    It listens on the loopback unless the setting `host` says otherwise, and asks nobody who they are.
    """
    from mercury.analytics import Planner
    from mercury.analytics.server import address, bound, run
    from mercury.config import load_settings
    from mercury.projects import load_project

    settings = load_settings(project_file)
    planner = Planner(load_project(settings.project), settings)
    with bound(settings.host, port) as listener:
        url = address(listener)
        click.echo(f"Page: {url}/   Queries: {url}/v1/query", err=True)
        run(planner, listener)
