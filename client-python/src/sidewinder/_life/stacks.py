"""Where every thread and every task of this process is, for operators who ask."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterable
from types import FrameType

MAX_TEXT = 256 * 1024


def everywhere(waiting: Iterable[tuple[str, FrameType]] = ()) -> str:
    """The stack of each thread but the asking one, and of those that wait elsewhere."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = threading.get_ident()
    parts = [
        _show(f"thread {names.get(ident, ident)}", frame)
        for ident, frame in sys._current_frames().items()
        if ident != own
    ]
    parts.extend(_show(name, frame) for name, frame in waiting)
    return "\n".join(parts)[:MAX_TEXT]


def _show(who: str, frame: FrameType) -> str:
    return f"{who}:\n" + "".join(traceback.format_stack(frame))
