"""The metrics server as a Ray Serve application: queries, live events and the page of a project's semantic models.

    serve run serve.metrics_server:app project=mercury_project.py
    mercury live

Serve's proxy listens where its HTTP options say, which `mercury serve` sets to loopback. On a cluster, where this
folder is on nobody's path, the same application is ``mercury.serving.metrics:app``.
"""

from mercury.serving.metrics import app

__all__ = ["app"]
