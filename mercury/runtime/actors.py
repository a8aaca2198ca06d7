"""Supervised actors: a dead one is created again, from its last committed state, up to a limit in a window of time.

Ray can restart an actor by itself, but calls its constructor with the first arguments, without end or without delay.
A supervisor asks before each restart what the actor must start from, waits longer every time, and gives up with an
error that says why when deaths come too fast. The idea is Erlang's (Armstrong, "Making reliable distributed systems in
the presence of software errors", 2003, section 5: restart intensity).

What an actor holds is lost when it dies, so an actor must be able to begin from what was committed, and a call must be
safe to repeat, or be made with ``repeat=False``.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mercury.errors import (
    DeadlineExceededError,
    NotFoundError,
    UnavailableError,
    UsageError,
    did_you_mean,
)
from mercury.runtime.session import original_error

CALL_DEADLINE = 600.0
"""Seconds that a call may take, restarts included, unless its caller says otherwise."""


class ActorDiedError(UnavailableError):
    """The process of an actor ended while a call to it was open, or before."""


@dataclass(frozen=True)
class RestartPolicy:
    """At most `limit` restarts of an actor in any `window` seconds, the n-th of them after
    ``min(longest_delay, first_delay * 2 ** (n - 1))`` seconds."""

    limit: int = 5
    window: float = 60.0
    first_delay: float = 0.1
    longest_delay: float = 10.0


@dataclass(frozen=True)
class Restart:
    """One restart: the actor's name, its incarnation from now on (the first is 0), and why the one before ended."""

    name: str
    incarnation: int
    reason: str


OnRestart = Callable[[Restart], Mapping[str, Any] | None]
"""Called before an actor is created again. What it returns replaces keyword arguments of the constructor, such as the
snapshot to start from."""


class Edge(Protocol):
    """Where actors run. A handle and a reference are whatever the edge says."""

    def create(self, cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        """Start an actor and return its handle."""
        ...

    def call(self, handle: Any, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Start a call and return a reference to its result."""
        ...

    def result(self, reference: Any, timeout: float) -> Any:
        """The result; raises `ActorDiedError`, `DeadlineExceededError` or what the method raised."""
        ...

    def kill(self, handle: Any) -> None:
        """End the actor if it still runs."""
        ...


class Supervisor:
    """Creates actors, passes calls on, and creates again what died.

    >>> class Counter:
    ...     def __init__(self, start=0):
    ...         self.count = start
    ...     def add(self, by):
    ...         self.count += by
    ...         return self.count
    >>> supervisor = Supervisor(InProcessEdge())
    >>> supervisor.spawn("counter", Counter, start=3)
    >>> supervisor.call("counter", "add", 2)
    5

    Parameters
    ----------
    edge : where the actors run; Ray when left out.
    policy : how often and how fast an actor may be restarted.
    wait : how to wait some seconds, for tests.
    """

    def __init__(
        self,
        edge: Edge | None = None,
        policy: RestartPolicy | None = None,
        *,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._edge: Edge = edge if edge is not None else RayEdge()
        self._policy = policy or RestartPolicy()
        self._wait = wait
        self._actors: dict[str, _Actor] = {}
        self.restarts: list[Restart] = []

    def spawn(
        self,
        name: str,
        cls: type,
        *args: Any,
        on_restart: OnRestart | None = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Create an actor of a plain class under a name; `options` are the edge's (Ray's ``num_cpus`` and so on)."""
        if name in self._actors:
            raise UsageError(f"an actor named {name!r} is supervised already")
        handle = self._edge.create(cls, args, kwargs, options or {})
        self._actors[name] = _Actor(name, cls, args, dict(kwargs), dict(options or {}), on_restart, handle)

    def call(
        self, name: str, method: str, *args: Any, deadline: float = CALL_DEADLINE, repeat: bool = True, **kwargs: Any
    ) -> Any:
        """Call a method and wait for its result; see `Call.result` for `deadline` (seconds) and `repeat`."""
        return self.start(name, method, *args, **kwargs).result(deadline, repeat=repeat)

    def start(self, name: str, method: str, *args: Any, **kwargs: Any) -> Call:
        """Start a call without waiting, so that several actors work at once."""
        return Call(self, self._find(name), method, args, kwargs)

    def handle(self, name: str) -> Any:
        """The edge's handle of an actor's present incarnation."""
        return self._find(name).handle

    def incarnation(self, name: str) -> int:
        """How often the actor was restarted."""
        return self._find(name).incarnation

    def stop(self, name: str | None = None) -> None:
        """End one actor, or all."""
        for each in [name] if name is not None else list(self._actors):
            self._edge.kill(self._find(each).handle)
            del self._actors[each]

    def _find(self, name: str) -> _Actor:
        if name not in self._actors:
            raise NotFoundError(f"no actor is named {name!r}", fix=did_you_mean(name, self._actors))
        return self._actors[name]

    def _restart(self, actor: _Actor, incarnation: int, death: ActorDiedError) -> None:
        with actor.lock:
            if actor.incarnation > incarnation:
                return  # Another call saw the same death first.
            now = time.monotonic()
            while actor.deaths and now - actor.deaths[0] > self._policy.window:
                actor.deaths.popleft()
            if len(actor.deaths) >= self._policy.limit:
                raise UnavailableError(
                    f"actor {actor.name!r} died {len(actor.deaths) + 1} times within {self._policy.window:g} s, "
                    f"at last: {death.what}",
                    fix="The actor's log says why (/tmp/ray/session_latest/logs/worker-*); memory is the usual cause",
                ) from death
            delay = min(self._policy.longest_delay, self._policy.first_delay * 2 ** len(actor.deaths))
            actor.deaths.append(now)
            self._wait(delay)
            # Unavailable is not dead: two incarnations must not run at once.
            self._edge.kill(actor.handle)
            restart = Restart(actor.name, actor.incarnation + 1, death.what)
            changed = actor.on_restart(restart) if actor.on_restart is not None else None
            actor.kwargs.update(changed or {})
            actor.handle = self._edge.create(actor.cls, actor.args, actor.kwargs, actor.options)
            actor.incarnation += 1
            self.restarts.append(restart)


class Call:
    """A call that runs. Made by `Supervisor.start`."""

    def __init__(
        self, supervisor: Supervisor, actor: _Actor, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self._supervisor, self._actor = supervisor, actor
        self._method, self._args, self._kwargs = method, args, kwargs
        self._begin()

    def result(self, deadline: float = CALL_DEADLINE, *, repeat: bool = True) -> Any:
        """Wait for the result.

        When the actor dies, it is restarted and the call made again; with ``repeat=False`` it is restarted and
        `ActorDiedError` raised. Raises `DeadlineExceededError` after `deadline` seconds, `UnavailableError` when the
        actor died too often, and what the method raised.
        """
        until = time.monotonic() + deadline
        while True:
            try:
                return self._supervisor._edge.result(self._reference, max(0.0, until - time.monotonic()))
            except ActorDiedError as death:
                self._supervisor._restart(self._actor, self._incarnation, death)
                if not repeat:
                    raise
            except DeadlineExceededError as late:
                raise DeadlineExceededError(
                    f"{self._actor.name}.{self._method} did not return within {deadline:g} s"
                ) from late
            self._begin()

    def _begin(self) -> None:
        self._incarnation = self._actor.incarnation
        self._reference = self._supervisor._edge.call(self._actor.handle, self._method, self._args, self._kwargs)


class RayEdge:
    """Actors in processes of a Ray cluster. Ray's own restarts stay off: the supervisor decides."""

    def create(self, cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        import ray

        settings = {**options, "max_restarts": 0, "max_task_retries": 0}
        return ray.remote(cls).options(**settings).remote(*args, **kwargs)

    def call(self, handle: Any, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return getattr(handle, method).remote(*args, **kwargs)

    def result(self, reference: Any, timeout: float) -> Any:
        import ray
        from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

        try:
            return ray.get(reference, timeout=timeout)
        except RayActorError as error:
            raise ActorDiedError(" ".join(str(error).split())[:500]) from error
        except GetTimeoutError as error:
            raise DeadlineExceededError("the call did not return in time") from error
        except RayTaskError as error:
            raise original_error(error) from error

    def kill(self, handle: Any) -> None:
        import ray

        with contextlib.suppress(Exception):
            ray.kill(handle, no_restart=True)

    def process_id(self, handle: Any) -> int:
        """The operating system's process of an actor, on the node that it runs on."""
        import ray

        return int(ray.get(handle.__ray_call__.remote(_process_id), timeout=30))


class InProcessEdge:
    """Actors as plain objects in this process, one call at a time: for small work and for tests."""

    def create(self, cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        return cls(*args, **kwargs)

    def call(self, handle: Any, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return lambda: getattr(handle, method)(*args, **kwargs)

    def result(self, reference: Any, timeout: float) -> Any:
        return reference()

    def kill(self, handle: Any) -> None:
        pass


@dataclass
class _Actor:
    name: str
    cls: type
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    on_restart: OnRestart | None
    handle: Any
    incarnation: int = 0
    deaths: deque[float] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)


def _process_id(_actor: Any) -> int:
    import os

    return os.getpid()
