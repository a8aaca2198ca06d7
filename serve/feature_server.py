"""The feature server as a Ray Serve application: one replica maps the online store and answers in Feast's shape.

    serve run serve.feature_server:app project=mercury_project.py
    mercury serve

Serve's proxy listens where its HTTP options say, which `mercury serve` sets to loopback. On a cluster, where this
folder is on nobody's path, the same application is ``mercury.serving.features:app``.
"""

from mercury.serving.features import app

__all__ = ["app"]
