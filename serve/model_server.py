"""The model server as a Ray Serve application: the champions of a project by the Open Inference Protocol v2.

    serve run serve.model_server:app project=mercury_project.py
    mercury serve

The application is `mercury.models.inference`; this file only starts it. Serve's proxy listens where its HTTP options
say, which `mercury serve` sets to loopback.
"""

from mercury.models.serving import application as app

__all__ = ["app"]
