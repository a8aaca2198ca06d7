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
    import socket

    import uvicorn

    from mercury.analytics import Planner
    from mercury.analytics.http import build_app
    from mercury.config import load_settings
    from mercury.errors import PortInUseError
    from mercury.projects import load_project

    settings = load_settings(project_file)
    app = build_app(Planner(load_project(settings.project), settings))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, port))
        except OSError as error:
            fix = "Choose another one with --port"
            raise PortInUseError(f"port {port} is taken", where=settings.host, fix=fix) from error
        click.echo(f"Page: http://{settings.host}:{port}/   Queries: http://{settings.host}:{port}/v1/query", err=True)
        server.run(sockets=[listener])
