"""Ray Serve applications of a project, on loopback, up for the length of a block."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import socket
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mercury.config import load_settings
from mercury.errors import NotFoundError, PortInUseError, UsageError, did_you_mean
from mercury.runtime.loopback import LOOPBACK
from mercury.runtime.session import LOOPBACK_SWITCH

if TYPE_CHECKING:
    from ray.serve import Application

    from mercury.config import Settings
    from mercury.definitions import Project

APPLICATIONS = {
    "features": ("serve/feature_server.py", "/features"),
    "analytics": ("serve/metrics_server.py", "/analytics"),
    "models": ("serve/model_server.py", "/"),
}
"""Application name to the file that builds it and the path that it answers under.

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
        for name, (path, prefix) in APPLICATIONS.items():
            if name not in applications:
                continue
            build = _load(path).app
            serve.run(build(arguments), name=name, route_prefix=prefix, logging_config={"log_level": logging.WARNING})
        yield f"http://{settings.host}:{port}"
    finally:
        serve.shutdown()


def application(
    name: str, build: Callable[[Settings], Any], args: Mapping[str, str], *, max_ongoing_requests: int = 64
) -> Application:
    """The Serve application of the ASGI application that ``build`` makes of a project's settings in each replica.

    ``args`` may name the ``project`` file and the ``state`` folder; other names are refused with `UsageError`.
    """
    from ray import cloudpickle

    for argument in args:
        if argument not in ("project", "state"):
            fix = did_you_mean(argument, ["project", "state"])
            raise UsageError(f"{argument!r} is no argument of the application", fix=fix)
    # A replica may not find the module of ``build`` by name.
    cloudpickle.register_pickle_by_value(sys.modules[build.__module__])
    project = Path(args["project"]) if "project" in args else None
    state = {"MERCURY_STATE": args["state"]} if "state" in args else {}

    def built() -> Any:
        # Runs in the replica: neither a mapped store nor a loaded model can be sent there.
        replica_on_loopback()
        return build(load_settings(project, {**os.environ, **state}))

    return deployed(name, built, max_ongoing_requests=max_ongoing_requests)


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


def _load(path: str) -> Any:
    """A module of the ``serve`` folder: of the checkout that Mercury runs from, or the one that its wheel installed."""
    for root in (Path(__file__).parents[2], Path(sys.prefix) / "share" / "mercury"):
        if (root / path).exists():
            name = "mercury_" + Path(path).stem
            spec = importlib.util.spec_from_file_location(name, root / path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
            return module
    raise NotFoundError(f"{path!r} is not installed", fix="Run from a checkout, or reinstall mercury-platform")
