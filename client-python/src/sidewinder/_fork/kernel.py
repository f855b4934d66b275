"""What the standard library lacks: `prctl`, a fork that runs no hooks, and an execution made beforehand.

Hooks that were registered with `os.register_at_fork` belong to the fork that makes a worker, and to no
other: the forks that only bring it into its place do without. The interpreter's lock is held through the
call, and there is one thread, so to Python nothing has happened; what libraries in C have registered is
run as ever.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Callable

_PDEATHSIG, _NAME, _SUBREAPER = 1, 15, 36
_LIBC = ctypes.PyDLL(None, use_errno=True)


def plain_fork() -> int:
    pid = int(_LIBC.fork())
    if pid < 0:
        _fail("fork")
    return pid


def die_with_parent(wanted: bool) -> None:
    _prctl(_WITH_PARENT if wanted else _WITHOUT_PARENT)


def adopt_orphans(wanted: bool) -> None:
    _prctl(_ADOPT if wanted else _ADOPT_NOT)


def room(text: bytes = b"", size: int = 0) -> Any:
    """Where C finds this text, or one that comes later."""
    return ctypes.create_string_buffer(text, max(size, len(text) + 1))


def execution(program: int, arguments: Sequence[Any], environment: Mapping[str, str]) -> Callable[[], None]:
    """Executes a program with what lies in these rooms, when it is called. It returns only to say why not."""
    variables = [room(os.fsencode(f"{name}={value}")) for name, value in environment.items()]
    call = partial(_LIBC.fexecve, ctypes.c_int(program), _list(arguments), _list(variables))
    return partial(_execute, call, (arguments, variables))


def _list(rooms: Sequence[Any]) -> Any:
    # One more, which is nothing, ends it.
    return (ctypes.c_void_p * (len(rooms) + 1))(*map(ctypes.addressof, rooms))


def _execute(call: Callable[[], int], _kept: object) -> None:
    call()
    _fail("execve")


def naming(name: str) -> Callable[[], None]:
    """Gives this process a name, when it is called."""
    return partial(_prctl, _words(_NAME, ctypes.c_char_p(name.encode())))


def _words(option: int, value: object) -> tuple[object, ...]:
    return (ctypes.c_int(option), value, *[ctypes.c_ulong(0)] * 3)


# Made before there is any fork: whatever a fork makes, it has to itself.
_WITH_PARENT = _words(_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
_WITHOUT_PARENT = _words(_PDEATHSIG, ctypes.c_ulong(0))
_ADOPT = _words(_SUBREAPER, ctypes.c_ulong(1))
_ADOPT_NOT = _words(_SUBREAPER, ctypes.c_ulong(0))


def _prctl(words: tuple[object, ...]) -> None:
    if _LIBC.prctl(*words):
        _fail("prctl")


def _fail(what: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")
