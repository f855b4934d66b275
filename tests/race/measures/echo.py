"""Echoes: how long a call takes, and how many are done in a second.

Peers with a socket are driven by one compiled client (`sidewinder-bench --drive`), so that the client is
never slower than the server; those without one by threads of the program that has the workers.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
from dataclasses import dataclass

from peers.peer import SERVED
from speak.over_pipe import PipeCaller
from standing import Standing

WORKERS = 2
# A large body may be slow: what is over after this is over.
LOAD_S = 60.0


@dataclass(frozen=True)
class Echo:
    """One kind of load."""

    size: int
    callers: int

    def title(self) -> str:
        """As in the table."""
        size = f"{self.size // 1_000_000} MB" if self.size >= 1_000_000 else f"{self.size} B"
        who = f"{self.callers} callers, calls/s" if self.callers > 1 else "1 caller, p50"
        return f"echo {size}, {who}"


ECHOES = (
    Echo(10, 1),
    Echo(10, 16),
    Echo(10, 64),
    Echo(10**6, 1),
    Echo(10**6, 16),
    Echo(10**6, 64),
    Echo(64 * 10**6, 1),
)


@dataclass(frozen=True)
class Seen:
    """What one load gave."""

    figure: float
    error: str
    # Of one processor, used by the client.
    client: float


def driver() -> str:
    """The compiled client."""
    built = SERVED.parent.parent.parent / "target" / "release" / "sidewinder-bench"
    return os.environ.get("RACE_DRIVER") or str(built)


def load(standing: Standing, echo: Echo, seconds: float) -> Seen:
    """Once. The figure is in seconds, or in calls a second."""
    wish = {"callers": echo.callers, "bytes": echo.size, "seconds": seconds}
    used = 0.0
    if isinstance(standing.caller, PipeCaller):
        said = standing.caller.ask({"do": "load", **wish})[1].result(LOAD_S)
    else:
        peer = standing.peer
        address = f"{peer.speaks}://127.0.0.1:{standing.port}{peer.path if peer.speaks == 'http' else ''}"
        command = [driver(), "--drive", address, *(["--in-json"] if peer.json else [])]
        command += [word for name, value in wish.items() for word in (f"--{name}", str(value))]
        before = children()
        output = subprocess.run(command, stdout=subprocess.PIPE, timeout=LOAD_S, check=True).stdout
        said = json.loads(output)
        used = (children() - before) / said["seconds"]
    if said.get("error"):
        return Seen(0.0, str(said["error"]), used)
    alone = echo.callers == 1
    return Seen(said["p50_us"] / 1e6 if alone else said["calls"] / said["seconds"], "", used)


def children() -> float:
    """Processor seconds of the clients that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
