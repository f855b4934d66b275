"""Raising `Cancelled` in a running tool from another thread, and never in anything but that tool.

CPython can plant an exception into a thread, which meets it at one of its next steps. Two dangers come with
it: the tool may just have ended, so that a later call of the same thread would be hit; and the runtime's own
reading may be interrupted between taking a frame and keeping it. Both are settled with flags in the manner of
Dekker: each side first raises its own flag and then looks at the other's. No lock is held by the tool's
thread, because a planted exception could keep it locked for ever.

    striker   striking = True · look at done, sheltered · plant · striking = False
    tool      done = True (or sheltered = True) · wait while striking · take back what was not met

A tool that waits in the kernel takes no step. When the main thread's does not end soon, it gets a signal
whose handler does nothing: for that it comes back from the kernel, and in the handler's first step it meets
what was planted. Who has met it before is not struck again.

A call is struck once. What the tool does with it is the tool's choice; the next step of the ladder is SIGINT.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Callable

from .._context import Cancelled

# Ignored by whoever does not know it, and of no other use to nearly all who do. To those it is left.
NUDGE = signal.SIGURG
# A tool that computes meets a strike within this time, mostly much sooner.
_STEP = 0.001
_STEPS = 5


def meet(*_: object) -> None:
    """Handles the nudge, by being a step."""


def _plant(thread: int, exception: type[BaseException] | None) -> None:
    import ctypes  # costs some milliseconds, which only a worker that is cancelled has to pay

    what = ctypes.py_object(exception) if exception else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)


class Target:
    """What can be struck: one run of one tool in one thread."""

    # Said by the class, because most calls come and go without any of it.
    cancelled = False
    why = ""
    thread = 0
    done = False
    sheltered = False
    striking = False
    struck = False
    signalled = False

    def strike(self) -> None:
        """From the control thread. `cancelled` has been set before."""
        self.striking = True
        try:
            if self.thread and not (self.done or self.sheltered or self.struck):
                self.struck = True
                _plant(self.thread, Cancelled)
        finally:
            self.striking = False

    def nudge(self) -> None:
        """From the control thread, after a strike."""
        if self.struck and self.thread == threading.main_thread().ident and signal.getsignal(NUDGE) is meet:
            for _ in range(_STEPS):
                if self.done:
                    return
                time.sleep(_STEP)
            signal.pthread_kill(self.thread, NUDGE)

    def signal(self) -> bool:
        """From a signal handler in the tool's own thread: whether the handler has to raise `Cancelled`."""
        if self.done or self.signalled or not self.thread:
            return False
        self.cancelled = True
        if self.sheltered:
            self.struck = False
            return False
        self.signalled = True
        self._take_back()
        self.struck = True
        return True

    def shelter(self, wait: Callable[[], None]) -> None:
        """Runs `wait`, which must not be interrupted, in the tool's thread; raises `Cancelled` after it
        instead."""
        self.sheltered = True
        try:
            self._let_strike()
            wait()
        finally:
            self.sheltered = False
        if self.cancelled and not self.struck:
            self.struck = True
            raise Cancelled(self.why)

    def settle(self) -> None:
        """In the tool's thread, when the tool has ended. If this raises `Cancelled`, it is to be called
        again."""
        self.done = True
        if self.striking or self.struck:
            self._let_strike()
            self._take_back()

    def _let_strike(self) -> None:
        while self.striking:
            time.sleep(0)  # the striker needs the interpreter for some microseconds

    def _take_back(self) -> None:
        if self.struck and self.thread:
            _plant(self.thread, None)
