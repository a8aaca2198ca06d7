"""Jobs on a cluster: the same work is submitted once, ends in time, and says why it failed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from mercury.errors import DeadlineExceededError, NotFoundError, UnavailableError, UsageError
from mercury.runtime.submission import JobClient, JobFailedError, JobRun, submission_id
from tests.listening import beyond_loopback, listening

SERVER = """
import sys
from mercury.runtime.session import LOCAL, ray_session
with ray_session(address=LOCAL, num_cpus=4, dashboard=True, object_store_bytes=256 << 20) as session:
    print(session.dashboard_url, flush=True)
    sys.stdin.read()
"""

BUSY_TO_THE_END = """
import ray
from mercury.runtime.session import LOCAL, ray_session

@ray.remote(num_cpus=1, lifetime="detached", name="kept")
class Kept:
    def there(self):
        return "there"

with ray_session(address=LOCAL, num_cpus=4, dashboard=True, object_store_bytes=256 << 20):
    print(ray.get(Kept.remote().there.remote()), flush=True)
    import os
    def refuse(*_): raise AssertionError("the head did not end when it was told to")
    os.killpg = refuse
"""


@contextlib.contextmanager
def job_server(**variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that runs a cluster, with these environment variables besides, and the address of its job server."""
    # What an earlier Ray of this process left in the environment would hide what is missing in a fresh one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | variables
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        address = server.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), address
        yield server, address
        server.stdin.close()
        server.wait(30)


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[int, str]]:
    """A cluster that another process runs: that process's number, and the address of the job server."""
    with job_server() as (server, address):
        yield server.pid, address


@pytest.fixture(scope="module")
def client(cluster: tuple[int, str]) -> JobClient:
    """A client of that cluster; it needs no Ray in this process."""
    return JobClient(cluster[1])


@pytest.mark.ray
def test_nobody_else_can_send_a_job(cluster: tuple[int, str]) -> None:
    pid, address = cluster

    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{address}/api/jobs/", timeout=30)
    places = listening(pid)
    assert urlsplit(address).port in {port for _, port in places}
    assert beyond_loopback(places) == []


def test_ids_are_stable_and_distinct() -> None:
    assert submission_id("job", "2013-01-05", ["--x", "1"]) == "job-2013-01-05-df79df876d5c"
    ids = {
        submission_id(*parts)
        for parts in [
            ("job", "a/b", []),
            ("job", "a-b", []),
            ("job", "", ["a-b"]),
            ("job", "a-b", ["x", "y"]),
            ("job", "a-b", ["x y"]),
        ]
    }
    assert len(ids) == 5
    assert all(set(each) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for each in ids)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(UnavailableError, match=r"no job server of Ray answers at http://127\.0\.0\.1:1"):
        JobClient("http://127.0.0.1:1")


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_ends_with_the_process_that_started_it() -> None:
    with job_server() as (server, address):
        family = psutil.Process(server.pid).children(recursive=True)
        assert {"gcs_server", "raylet"} <= {process.name() for process in family}
        server.kill()
        server.wait()
        _, alive = psutil.wait_procs(family, timeout=30)
        assert alive == []
        with pytest.raises(UnavailableError):
            JobClient(address)


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_with_a_detached_actor_ends_when_told() -> None:
    ended = subprocess.run([sys.executable, "-c", BUSY_TO_THE_END], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "there\n"), ended.stderr


@pytest.mark.ray
@pytest.mark.slow
def test_rays_note_of_the_current_cluster_is_left_as_it_was() -> None:
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # short: paths of sockets are limited
        note = Path(folder, "ray", "ray_current_cluster")
        note.parent.mkdir()
        note.write_text("127.0.0.1:1")
        with job_server(RAY_TMPDIR=folder):
            assert note.read_text().startswith("127.0.0.1:") and note.read_text() != "127.0.0.1:1"
        assert note.read_text() == "127.0.0.1:1"


@pytest.mark.ray
@pytest.mark.slow
def test_the_same_work_runs_once(client: JobClient, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("import pathlib, sys; print('hello', sys.argv[1]); print(pathlib.Path.cwd())")
    command = ["python", "job.py", "a b"]

    def submit() -> JobRun:
        return client.submit(command, name="greet", partition="p", working_dir=tmp_path)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = [future.result() for future in [pool.submit(submit), pool.submit(submit)]]
    assert runs[0].submission_id == runs[1].submission_id == submission_id("greet", "p", command)
    assert sorted(run.reused for run in runs) in ([False, True], [True, True])

    seen: list[str] = []
    ended = client.wait(runs[0].submission_id, 60, on_status=lambda run: seen.append(run.status))
    assert (ended.status, ended.exit_code, ended.error_type) == ("SUCCEEDED", 0, None)
    assert seen[-1] == "SUCCEEDED" and len(seen) == len(set(seen))
    hello, folder = client.logs(ended.submission_id).splitlines()[-2:]
    assert hello == "hello a b" and folder != str(tmp_path)
    again = submit()
    assert again.reused and again.status == "SUCCEEDED"
    assert client.submit(command, name="greet", partition="p", identity=["2"], working_dir=tmp_path).reused is False


@pytest.mark.ray
@pytest.mark.slow
def test_failed_work_is_tried_again_under_a_new_attempt(client: JobClient) -> None:
    command = ["python", "-c", "import sys; print('the reason'); sys.exit(5)"]
    first = client.submit(command, name="fails")
    with pytest.raises(JobFailedError, match="exit code 5") as failure:
        client.wait(first.submission_id, 60)
    assert failure.value.excerpt is not None and "the reason" in failure.value.excerpt
    run = client.status(first.submission_id)
    assert (run.status, run.exit_code, run.error_type) == ("FAILED", 5, "JOB_ENTRYPOINT_COMMAND_ERROR")
    second = client.submit(command, name="fails", attempts=2)
    assert (second.submission_id, second.attempt, second.reused) == (f"{first.submission_id}-2", 2, False)
    with pytest.raises(JobFailedError):
        client.wait(second.submission_id, 60)
    with pytest.raises(UnavailableError, match=r"2 runs of .* failed"):
        client.submit(command, name="fails", attempts=2)
    assert {run.submission_id for run in client.runs()} >= {first.submission_id, second.submission_id}


@pytest.mark.ray
@pytest.mark.slow
def test_endless_work_is_stopped(client: JobClient) -> None:
    command = ["python", "-c", "import threading; threading.Event().wait(300)"]
    late = client.submit(command, name="late")
    with pytest.raises(DeadlineExceededError, match="was stopped"):
        client.wait(late.submission_id, 1)
    stopped = client.submit(command, name="stopped")
    assert client.stop(stopped.submission_id).status == "STOPPED"
    assert client.stop(late.submission_id).finished
    with pytest.raises(NotFoundError, match="knows no job 'nothing'"):
        client.status("nothing")
    with pytest.raises(UsageError, match="is no folder"):
        client.submit(command, name="x", working_dir="/no/such/folder")
