"""Tools of workers that may be forked: what they have in common, and what each has for itself."""

from __future__ import annotations

import os
import random
import threading
import time

import sidewinder

IMPORTED_BY = os.getpid()
HOOKS: list[str] = []

# What takes its time in real modules.
time.sleep(0.3)


@sidewinder.before_fork
def before() -> None:
    HOOKS.append("before")


@sidewinder.after_fork
def after() -> None:
    HOOKS.append("after")


@sidewinder.setup
def set_up() -> None:
    HOOKS.append("setup")


@sidewinder.tool
def importer() -> list[int]:
    """Who imported this, and who runs it."""
    return [IMPORTED_BY, os.getpid()]


@sidewinder.tool
def chance() -> float:
    """Python's own generator, which nobody seeded."""
    return random.random()


@sidewinder.tool
def sockets() -> list[int]:
    """The numbers of the sockets that this process has open."""
    numbers = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                numbers.append(int(name))
        except OSError:
            continue
    return sorted(numbers)


@sidewinder.tool
def descriptors() -> int:
    """How many descriptors are open, but for the one that looks."""
    return len(os.listdir("/proc/self/fd")) - 1


@sidewinder.tool
def hooks() -> list[str]:
    """What was run, in order."""
    return HOOKS


@sidewinder.tool
def identity() -> dict[str, object]:
    """What others see of this process."""
    with open("/proc/self/comm") as comm:
        name = comm.read().strip()
    return {
        "name": name,
        "session": os.getsid(0) == os.getpid(),
        "thread": threading.current_thread() is threading.main_thread(),
        "stdin": os.readlink("/proc/self/fd/0"),
    }
