"""Ray Serve applications of a project, on loopback, up for the length of a block."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mercury
from mercury.config import load_settings
from mercury.errors import NotFoundError, PortInUseError, UsageError, did_you_mean
from mercury.runtime.loopback import LOOPBACK
from mercury.runtime.session import LOOPBACK_SWITCH

if TYPE_CHECKING:
    from ray.serve import Application

    from mercury.config import Settings
    from mercury.definitions import Project

APPLICATIONS = {
    "features": ("mercury.serving.features", "/features"),
    "analytics": ("mercury.serving.metrics", "/analytics"),
    "models": ("mercury.serving.models", "/"),
}
"""Application name to the module whose ``app`` builds it and the path that it answers under.

In the order of deployment: models answer for readiness, and are ready last.
"""


def applications_of(project: Project) -> list[str]:
    """The applications that have something of this project to serve."""
    from mercury.definitions import FeatureView, Model, SemanticModel

    served = {"features": FeatureView, "analytics": SemanticModel, "models": Model}
    return [name for name in APPLICATIONS if project.of(served[name])]


@contextlib.contextmanager
def serving(settings: Settings, applications: Collection[str], *, port: int = 8000) -> Iterator[str]:
    """Deploy some of `APPLICATIONS` on the Ray of this process and give their address; they end with the block.

    Raises `PortInUseError` when something else listens there.
    """
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    _require_free(settings.host, port)
    serve.start(http_options={"host": settings.host, "port": port}, proxy_location="HeadOnly")
    arguments = {"project": str(settings.project), "state": str(settings.state)}
    try:
        for name, (module, prefix) in APPLICATIONS.items():
            if name not in applications:
                continue
            build = importlib.import_module(module).app
            serve.run(build(arguments), name=name, route_prefix=prefix, logging_config={"log_level": logging.WARNING})
        yield f"http://{settings.host}:{port}"
    finally:
        serve.shutdown()


def application(
    name: str, build: Callable[[Settings], Any], args: Mapping[str, str], *, max_ongoing_requests: int = 64
) -> Application:
    """The Serve application of the ASGI application that ``build`` makes of a project's settings in each replica.

    ``args`` may name the ``project`` file and the ``state`` folder; other names are refused with `UsageError`. Raises
    `NotFoundError` when the project file does not exist, see `project_file`.
    """
    for argument in args:
        if argument not in ("project", "state"):
            fix = did_you_mean(argument, ["project", "state"])
            raise UsageError(f"{argument!r} is no argument of the application", fix=fix)
    project = project_file(args["project"]) if "project" in args else None
    state = {"MERCURY_STATE": args["state"]} if "state" in args else {}

    def built() -> Any:
        # Runs in the replica: neither a mapped store nor a loaded model can be sent there.
        replica_on_loopback()
        return build(load_settings(project, {**os.environ, **state}))

    return deployed(name, built, max_ongoing_requests=max_ongoing_requests)


def project_file(text: str) -> Path:
    """The absolute path of a project file that a configuration names.

    A cluster builds applications in whatever folder its head was started in, so a relative path is looked for there and
    then in the checkout that Mercury runs from. Raises `NotFoundError` when it is in neither.
    """
    path = Path(text).expanduser()
    folders = [Path.cwd(), Path(mercury.__file__).parents[1]]
    for folder in folders:
        if (folder / path).is_file():
            return folder / path
    looked = "" if path.is_absolute() else f": it was looked for in {' and '.join(map(str, folders))}"
    raise NotFoundError(
        f"there is no project file {text!r}{looked}", where="project", fix="Name it by its absolute path on the cluster"
    )


def deployed(name: str, build: Callable[[], Any], *, max_ongoing_requests: int = 64) -> Application:
    """One replica of the ASGI application that ``build`` makes there."""
    from ray import serve

    @serve.deployment(name=name, max_ongoing_requests=max_ongoing_requests)
    @serve.ingress(build)
    class Server:
        """Holds the ASGI application; requests go to it directly."""

    return Server.bind()  # type: ignore[attr-defined]


def replica_on_loopback() -> None:
    """Let the Serve replica that calls this, when it builds its application, listen on loopback if its cluster does.

    Each replica has a port of its own for other deployments. It asks for the token, but Ray opens it on every address.
    """
    if os.environ.get(LOOPBACK_SWITCH) != "0":
        return
    import ray.serve._private.replica as replica

    bind = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: bind(server, address.replace("[::]", LOOPBACK))


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUseError(f"port {port} is taken", where=host, fix="Choose another one with --port") from error
