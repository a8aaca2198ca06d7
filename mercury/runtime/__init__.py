"""What runs the rest: Ray and Spark sessions, the keyed shuffle, supervised actors, jobs, Kafka, metrics, lineage.

What is cheap to import is named here; `mercury.runtime.shuffle` and `mercury.runtime.hashing` load numba.
"""

from mercury.runtime.actors import ActorDiedError, RayEdge, Restart, RestartPolicy, Supervisor
from mercury.runtime.session import RaySession, ray_data_preset, ray_session
from mercury.runtime.spark import spark_deadline, spark_session
from mercury.runtime.submission import JobClient, JobFailedError, JobRun, submission_id

__all__ = [
    "ActorDiedError",
    "JobClient",
    "JobFailedError",
    "JobRun",
    "RayEdge",
    "RaySession",
    "Restart",
    "RestartPolicy",
    "Supervisor",
    "ray_data_preset",
    "ray_session",
    "spark_deadline",
    "spark_session",
    "submission_id",
]
