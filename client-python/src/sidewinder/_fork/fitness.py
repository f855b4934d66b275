"""Whether a process may be forked again and again, once it has imported everything.

A fork copies one thread. What the others held stays locked, a connection would be spoken on by two, and a
device knows one process: none of that shows at once. So whoever is not fit is not forked, and is told
why.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Collection

from . import kernel

_GPUS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/render")
# So long, in seconds, a thread may be on its way out.
_MOMENT = 0.25
_LOOK_EVERY = 0.001
_LOOPS = {"anon_inode:[eventpoll]": "an event loop", "anon_inode:[io_uring]": "an io_uring"}


def why_not(ours: Collection[int]) -> str | None:
    """Why this process must not be forked, or None. `ours` are the descriptors of the runtime itself."""
    return _children() or _threads() or _descriptors(ours) or _interpreter()


def _interpreter() -> str | None:
    locked = getattr(sys, "_is_gil_enabled", None)
    if locked is not None and not locked():
        return "this Python runs without its global lock"
    return None


def _children() -> str | None:
    """Whoever was started while importing is below this process, because it adopts orphans meanwhile."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return None
    return "importing started a process that is still there"


def _threads() -> str | None:
    named = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if named:
        return f"importing started threads: {', '.join(sorted(named)[:8])}"
    if _tasks() > 1:
        # Libraries that are made for it (OpenBLAS, say) put their threads away when there is a fork, and take
        # them out again when they are needed. So one is tried.
        pid = kernel.plain_fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
    tasks = _tasks_that_stay()
    if tasks > 1:
        return f"importing started {tasks - 1} threads of a library"
    return None


def _tasks_that_stay() -> int:
    """The kernel lists a thread for a moment longer than whoever has joined it waits for it."""
    until = time.monotonic() + _MOMENT
    while (tasks := _tasks()) > 1 and time.monotonic() < until:
        time.sleep(_LOOK_EVERY)
    return tasks


def _tasks() -> int:
    return len(os.listdir("/proc/self/task"))


def _descriptors(ours: Collection[int]) -> str | None:
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the one that lists them
            continue
        if target.startswith(_GPUS):
            return f"importing opened {target}: a GPU cannot be shared by forks"
        if target in _LOOPS:
            return f"importing left {_LOOPS[target]} open (descriptor {name})"
        if target.startswith("socket:") and int(name) not in ours:
            return f"importing left a connection open (descriptor {name})"
    return None
