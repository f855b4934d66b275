"""The animals: small programs that misbehave on purpose. `python3 zoo.py NAME [ARGUMENT…]`."""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
from collections.abc import Callable

MIB = 1 << 20


def hog(mib: str) -> None:
    """Touch memory, a MiB at a time, then hold it."""
    held = [b"x" * MIB for _ in range(int(mib))]
    while held:
        signal.pause()


def family(mib: str) -> None:
    """A modest parent; its child, in a session of its own, is the hog."""
    if os.fork() == 0:
        os.setsid()
        hog(mib)
    hog("1")


def bomb() -> None:
    """Fork for ever; who cannot fork tries again."""
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.001)


def storm() -> None:
    """Children that daemonise, fork once more and end: the tree never has the same processes twice."""
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
                if os.fork():
                    os._exit(0)
        except OSError:
            time.sleep(0.001)
        with_children = True
        while with_children:
            try:
                with_children = os.waitpid(-1, os.WNOHANG)[0] != 0
            except ChildProcessError:
                with_children = False


def spin(count: str) -> None:
    """Busy loops, each a thread of execution of its own."""
    for _ in range(int(count) - 1):
        if os.fork() == 0:
            break
    while True:
        pass


def write(path: str, mib: str, took: str) -> None:
    """Write past the page cache, then leave how many seconds it took."""
    block = mmap.mmap(-1, MIB)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
    begin = time.monotonic()
    for _ in range(int(mib)):
        os.write(file, block)
    with open(took + ".new", "w", encoding="ascii") as out:
        out.write(str(time.monotonic() - begin))
    os.rename(took + ".new", took)


def hold() -> None:
    """Do nothing, for ever."""
    while True:
        signal.pause()


ANIMALS: dict[str, Callable[..., None]] = {
    animal.__name__: animal for animal in (hog, family, bomb, storm, spin, write, hold)
}

if __name__ == "__main__":
    ANIMALS[sys.argv[1]](*sys.argv[2:])
