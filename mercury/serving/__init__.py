"""What Ray Serve answers for a project: one application each for models, features and metrics.

`mercury.serving.models`, `.features` and `.metrics` build them, in modules that any process of a cluster can import;
`mercury.serving.applications` deploys them. The files of the folder ``serve`` are for Ray's own command line.
"""
