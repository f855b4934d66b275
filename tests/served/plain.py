"""Tools that the daemon's tests call: what goes well, and every way in which it does not."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

import sidewinder


@sidewinder.tool
def add(a: int, b: int = 2) -> int:
    """Adds two numbers."""
    return a + b


@sidewinder.tool
def count(until: int, note: str = "") -> Iterator[int]:
    """Counts; notes in a file how far it got."""
    for number in range(until):
        if note:
            Path(note).write_text(str(number))
        yield number


@sidewinder.tool
def who() -> int:
    """The process that runs this."""
    return os.getpid()


@sidewinder.tool
def sleep(seconds: float) -> str:
    """Sleeps, and can be woken."""
    time.sleep(seconds)
    return "rested"


@sidewinder.tool
def hold() -> int:
    """Counts in C for hours: neither a signal nor another thread gets the interpreter."""
    return sum(range(10**13))


@sidewinder.tool
def shout(text: str) -> None:
    """Prints."""
    print(text)


@sidewinder.tool
def fail(message: str) -> None:
    """Raises."""
    raise ValueError(message)


@sidewinder.tool
def leave(status: int) -> None:
    """Ends the process."""
    os._exit(status)


@sidewinder.tool
def crash() -> None:
    """Reads where nothing is."""
    ctypes.string_at(0)
