"""The ways out that nobody returns from.

They are taken in whatever thread notices, below whatever code of the author is running: raising through a
tool could be caught there. What an author wrote for the end of a life (teardown, atexit) runs only when the
life is drained.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

DONE = 0
UNFIT = 3
BROKEN = 4


def leave(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(status)


def owner_gone() -> NoReturn:
    """Nobody is left who could be told anything, or who would wait."""
    os._exit(DONE)


def broken(error: BaseException) -> NoReturn:
    """The daemon and this worker do not understand each other: the next life may."""
    with contextlib.suppress(BaseException):
        os.write(2, f"sidewinder: the protocol was broken: {error}\n".encode("utf-8", "backslashreplace"))
    os._exit(BROKEN)
