"""Tools of the daemon that is deployed in the machine: what is more than a worker may have."""

from __future__ import annotations

import os
import time
from pathlib import Path

import sidewinder


@sidewinder.tool
def who() -> int:
    """The process that runs this."""
    return os.getpid()


@sidewinder.tool
def hog(mib: int) -> int:
    """Touches so much memory."""
    return len([b"x" * (1 << 20) for _ in range(mib)])


def swell(mib: int) -> int:
    """The same, in a pool of its own, where the kernel slows it down."""
    return hog(mib)


@sidewinder.tool
def work(folder: str, seconds: float) -> str:
    """Says on the disk that it has begun, and that it has ended."""
    note(folder, "begun")
    time.sleep(seconds)
    note(folder, "ended")
    return "done"


def note(folder: str, name: str) -> None:
    """One more line, which is there after a power cut."""
    with (Path(folder) / name).open("a") as file:
        file.write(f"{os.getpid()}\n")
        file.flush()
        os.fsync(file.fileno())


@sidewinder.tool
def bomb() -> None:
    """Forks for ever; who cannot fork tries again, and nobody is to be interrupted."""
    while True:
        try:
            os.fork()
            time.sleep(0.001)
        except (OSError, KeyboardInterrupt):
            continue
