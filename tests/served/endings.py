"""Tools that end badly, one way each, and one that shows that the worker is still good."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import sidewinder


@sidewinder.tool
def who() -> int:
    """The process that runs this."""
    return os.getpid()


@sidewinder.tool
def exits() -> None:
    """Leaves as scripts do."""
    sys.exit(7)


@sidewinder.tool
def interrupts() -> None:
    """As if somebody had pressed Ctrl-C."""
    raise KeyboardInterrupt


@sidewinder.tool
def leaves() -> None:
    """Leaves as nobody should."""
    os._exit(9)


@sidewinder.tool
def crashes() -> None:
    """Reads where nothing is."""
    print("about to read where nothing is", file=sys.stderr)
    ctypes.string_at(0)


@sidewinder.tool
def aborts() -> None:
    """As C libraries do."""
    os.abort()


@sidewinder.tool
def eats() -> int:
    """More than the process may have."""
    soft = 1 << 32
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))
    return len(bytearray(1 << 40))


@sidewinder.tool
def recurses(depth: int = 0) -> int:
    """Without end."""
    return recurses(depth + 1)


@sidewinder.tool
def unsayable() -> Any:
    """No content type carries this."""
    return {1, 2, 3}


@sidewinder.tool
def annotated() -> None:
    """With notes and causes."""
    try:
        int(os.environ["THE_KEY"])
    except KeyError as cause:
        error = RuntimeError("because of it")
        error.__notes__ = ["the first note", "the second note"]  # type: ignore[attr-defined]
        raise error from cause


class UnprintableError(Exception):
    """Cannot even be shown."""

    def __str__(self) -> str:
        raise ValueError("even the message fails")


@sidewinder.tool
def unprintable() -> None:
    """Raises what cannot be shown."""
    raise UnprintableError


def descend(depth: int) -> None:
    """To the ground."""
    if depth == 0:
        raise ValueError("é" * 100_000)
    descend(depth - 1)


@sidewinder.tool
def verbose() -> None:
    """A traceback of many frames, and a message of many bytes."""
    descend(900)


@sidewinder.tool
def floods(megabytes: int) -> str:
    """Prints, to both streams."""
    line = "x" * 1023 + "\n"
    for _ in range(megabytes * 512):
        sys.stdout.write(line)
        sys.stderr.write(line)
    return "dry"


@sidewinder.tool
def deafens() -> str:
    """Closes what is not its own."""
    os.close(3)
    os.close(4)
    return "nobody will read this"


@sidewinder.tool
def forks() -> int:
    """Both answer; the child has nothing to answer with."""
    child = os.fork()
    return os.getpid() if child else -1


@sidewinder.tool
def leaves_threads() -> int:
    """Each of them would go on for long."""
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(1000,)).start()
    return threading.active_count()


@sidewinder.tool
def breaks_off() -> Iterator[int]:
    """Raises in the middle."""
    yield 1
    yield 2
    raise ValueError("in the middle")


@sidewinder.tool
def clings() -> Iterator[int]:
    """Does not let itself be closed."""
    number = 0
    while True:
        try:
            number += 1
            yield number
        except GeneratorExit:
            pass


@sidewinder.tool
def rests(seconds: float) -> str:
    """Where it is can be seen in a traceback."""
    time.sleep(seconds)
    return "rested"


def deep_down() -> None:
    """Computes until it is stopped."""
    while True:
        time.monotonic()


@sidewinder.tool
def computes() -> None:
    """Is busy somewhere below."""
    deep_down()


@sidewinder.tool
def holds(depth: int = 0) -> int:
    """Counts in C for hours, below many frames: no other thread gets the interpreter."""
    return holds(depth - 1) if depth else sum(range(10**13))


@sidewinder.tool
def backtracks() -> bool:
    """Matches for longer than anybody lives."""
    return re.match(r"(a+)+$", "a" * 64 + "b") is None
