"""What the standard library lacks: `prctl`, and a fork that runs no hooks.

Hooks that were registered with `os.register_at_fork` belong to the fork that makes a worker, and to no
other: the forks that only bring it into its place do without. The interpreter's lock is held through the
call, and there is one thread, so to Python nothing has happened; what libraries in C have registered is
run as ever.
"""

from __future__ import annotations

import ctypes
import os
import signal

_PDEATHSIG, _NAME, _SUBREAPER = 1, 15, 36
_LIBC = ctypes.PyDLL(None, use_errno=True)


def plain_fork() -> int:
    pid = int(_LIBC.fork())
    if pid < 0:
        _fail("fork")
    return pid


def die_with_parent(wanted: bool) -> None:
    _prctl(_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL if wanted else 0))


def adopt_orphans(wanted: bool) -> None:
    _prctl(_SUBREAPER, ctypes.c_ulong(wanted))


def be_called(name: str) -> None:
    _prctl(_NAME, ctypes.c_char_p(name.encode()))


def _prctl(option: int, value: object) -> None:
    if _LIBC.prctl(ctypes.c_int(option), value, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)):
        _fail("prctl")


def _fail(what: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")
