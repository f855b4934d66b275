"""Standard streams that never break a tool.

Standard output and standard error are pipes to the daemon. A tool may print at any time and anything, so a
pipe that nobody reads any more swallows, a text that is no UTF-8 is escaped, and a line leaves when it is
whole. Standard input is empty.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class _Unbreakable(io.FileIO):
    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: Any) -> int:
        try:
            written = super().write(data)
        except OSError:
            written = None
        return len(data) if written is None else written


def prepare() -> None:
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    if empty:
        os.close(empty)
    sys.stdout = _writer(1)
    sys.stderr = _writer(2)


def _writer(descriptor: int) -> io.TextIOWrapper:
    raw = io.BufferedWriter(_Unbreakable(descriptor))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def flush() -> None:
    """What a call printed comes before its ending, also without an end of line."""
    try:  # noqa: SIM105 - on the way of every call, where a context manager costs as much as the flush
        sys.stdout.flush()
    except Exception:  # a tool may have put anything there
        pass
