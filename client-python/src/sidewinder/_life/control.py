"""The control socket: a thread of its own, so that the worker answers while a tool keeps the main thread
busy.

It never waits for a lock that a tool can hold, or for the calls socket; and for a tool that was cancelled
only some milliseconds, before it nudges it.
"""

from __future__ import annotations

import _thread
import os
import signal
from types import FrameType

from .._call.strike import NUDGE
from .._frames import Frame, Kind, ProtocolError, Tag, UnknownFieldError, as_text, field
from .._leaving import DONE, broken, leave
from .._link import Link
from .serving import Serving
from .stacks import everywhere

try:
    _PAGE = os.sysconf("SC_PAGE_SIZE")
except (AttributeError, ValueError, OSError):
    _PAGE = 4096


# What the main thread handles: whatever waits in the kernel there is to come out for it.
_OF_MAIN = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, NUDGE)


class Control:
    def __init__(self, link: Link) -> None:
        self._link = link
        self.serving: Serving | None = None

    def start(self) -> None:
        """In a thread of which `threading` knows nothing: it has no hooks, and nobody waits for it."""
        _thread.start_new_thread(self._run, ())

    def drain(self) -> None:
        """Before the worker was ready there is nothing to finish, and nothing to tear down."""
        if self.serving is None:
            leave(DONE)
        self.serving.drain()

    def interrupt(self) -> None:
        if self.serving is not None:
            self.serving.interrupt()

    def _waiting(self) -> list[tuple[str, FrameType]]:
        return [] if self.serving is None else self.serving.waiting()

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _OF_MAIN)
        try:
            while True:
                self.hear()
        except (ProtocolError, UnknownFieldError) as error:
            broken(error)

    def hear(self) -> None:
        """Waits for one frame, and does what it asks for."""
        frame = self._link.receive()
        if frame is not None:
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.PING:
            number = field(Tag.PING, frame.number(Tag.PING))
            self._link.say(Kind.PONG, 0, number + field(Tag.RESIDENT, resident()))
        elif frame.kind == Kind.CANCEL:
            if self.serving is not None:
                self.serving.cancel(frame.call, as_text(frame.first(Tag.MESSAGE) or b""))
        elif frame.kind == Kind.DUMP:
            number = field(Tag.PING, frame.number(Tag.PING))
            self._link.say(Kind.STACKS, 0, number, everywhere(self._waiting()).encode(errors="replace"))
        elif frame.kind == Kind.DRAIN:
            self.drain()
        elif frame.kind == Kind.RESYNC:
            number = field(Tag.PING, frame.number(Tag.PING))
            if self.serving is not None:
                self.serving.tell_what_there_is(number)
            self._link.say(Kind.RESYNCED, 0, number)
        else:
            raise ProtocolError(f"kind {frame.kind} on the control socket")


def resident() -> int:
    """Resident bytes of this process; 0 where the system does not say."""
    try:
        statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int(os.read(statm, 256).split()[1]) * _PAGE
        finally:
            os.close(statm)
    except (OSError, IndexError, ValueError):
        return 0
