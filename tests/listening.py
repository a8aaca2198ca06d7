"""Where processes listen, for tests that nothing does beyond loopback."""

from __future__ import annotations

import psutil

LOOPBACK = ("127.0.0.1", "::ffff:127.0.0.1", "::1")


def listening(pid: int | None = None) -> list[tuple[str, int]]:
    """Address and port of every TCP socket that a process (this one) and all below it accept connections at."""
    root = psutil.Process(pid)
    family = {each.pid for each in (root, *root.children(recursive=True))}
    found = [part for part in psutil.net_connections("tcp") if part.status == psutil.CONN_LISTEN and part.pid in family]
    return [(part.laddr.ip, part.laddr.port) for part in found]


def beyond_loopback(places: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those that another machine may reach."""
    return [place for place in places if place[0] not in LOOPBACK]
