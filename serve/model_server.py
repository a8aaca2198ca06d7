"""The model server as a Ray Serve application: the champions of a project by the Open Inference Protocol v2.

    serve run serve.model_server:app project=mercury_project.py
    mercury serve

Serve's proxy listens where its HTTP options say, which `mercury serve` sets to loopback. On a cluster, where this
folder is on nobody's path, the same application is ``mercury.serving.models:app``.
"""

from mercury.serving.models import app

__all__ = ["app"]
