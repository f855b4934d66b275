"""Tools of the daemon that is deployed in the machine: what is more than a worker may have."""

from __future__ import annotations

import os
import time

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
def bomb() -> None:
    """Forks for ever; who cannot fork tries again, and nobody is to be interrupted."""
    while True:
        try:
            os.fork()
            time.sleep(0.001)
        except (OSError, KeyboardInterrupt):
            continue
