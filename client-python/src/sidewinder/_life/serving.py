"""Serving calls: what to do with each frame from the calls socket, and how calls are found again.

The main thread reads and decides; the control thread only looks calls up. How a call is started is left to
`Solo` and `Looped`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from abc import ABC, abstractmethod
from socket import MSG_DONTWAIT
from types import FrameType

from .._call.attempt import rejected, run
from .._call.call import Call
from .._call.endings import Ending, Endings
from .._context import Cancelled
from .._frames import Frame, Kind, ProtocolError, Tag, UnknownFieldError, as_number, field
from .._leaving import broken
from .._link import Link
from .._signature import suggest
from .._tools import Tool
from .._values import codec
from . import standard

MAX_EARLY = 64
_CALL = Kind.CALL


def _nothing() -> None:
    pass


# A daemon calls it once, to see that calls come through.
CANARY = Tool("sidewinder.canary", _nothing)


class Serving(ABC):
    def __init__(self, calls: Link, control: Link, tools: dict[str, Tool], seats: int) -> None:
        self.link = calls
        self.control = control
        self.tools = tools
        self._known = {**tools, CANARY.name: CANARY}
        self.seats = seats
        self.endings = Endings(calls)
        self.running: dict[int, Call] = {}
        self.draining = False
        self._on_main: Call | None = None
        # Cancellations by call, the last ones: a cancel may overtake its call, which comes on the other
        # socket.
        self._early: dict[int, str] = {}
        self._woken = self._waker = -1
        self._poll = select.poll()

    def be_woken(self) -> None:
        """By signals, and by other threads. Before that nothing is served."""
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._poll.register(self.link.socket, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    @abstractmethod
    def serve(self) -> None:
        """Returns when the life was drained."""

    @abstractmethod
    def start(self, call: Call) -> None: ...

    # From the control thread and from signal handlers.

    def cancel(self, call: int, why: str) -> None:
        self._early[call] = why
        while len(self._early) > MAX_EARLY:
            del self._early[next(iter(self._early))]
        running = self.running.get(call)
        if running is not None:
            running.why = why
            running.cancelled = True
            self.stop(running)

    def stop(self, call: Call) -> None:
        """Lets a running call know that it was cancelled."""
        call.strike()
        call.waiter.wake()
        call.nudge()

    def tell_what_there_is(self, number: bytes) -> None:
        """For a successor of the daemon. A call that ends meanwhile may be told as both."""
        for call in list(self.running.values()):
            streams = field(Tag.CREDIT, 1) if call.streams else b""
            self._tell(Kind.RUNS, call.id, call.memo, number + streams)
        for ending in self.endings.kept():
            self._tell(Kind.KEEPS, ending.call, ending.memo, number)
        self.endings.ask_again()

    def _tell(self, kind: int, call: int, memo: bytes, more: bytes) -> None:
        self.control.say(kind, call, (field(Tag.MEMO, memo) if memo else b"") + more)

    def drain(self) -> None:
        self.draining = True
        self.wake()

    def waiting(self) -> list[tuple[str, FrameType]]:
        """What waits without a thread of its own."""
        return []

    def interrupt(self) -> None:
        """SIGINT: the tool that the main thread runs is interrupted, and nothing else is."""
        call = self._on_main
        if call is not None:
            if call.signal():
                raise Cancelled(call.why or "interrupted")
            self.wake()

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # full is as good as woken
            os.write(self._waker, b"\0")

    # The main thread.

    async def arrival(self) -> None:
        raise TypeError("only an async tool waits like this")

    def wait(self) -> None:
        """Waits for something to happen, and deals with one frame if that is what happened."""
        for descriptor, _ in self._poll.poll():
            if descriptor == self._woken:
                self.wake_up()
            else:
                self.read_one()

    def wake_up(self) -> None:
        """Signals are heard here once more, because a strike may hit their handler instead of the tool."""
        with contextlib.suppress(BlockingIOError):
            if signal.SIGTERM in os.read(self._woken, 4096):
                self.drain()

    def read_one(self) -> bool:
        """Whether there was a frame."""
        try:
            frame = self.link.receive(MSG_DONTWAIT)
            if frame is not None:
                if frame.kind == _CALL:
                    self._admit(frame)
                else:
                    self._take(frame)
        except BlockingIOError:
            return False
        except UnknownFieldError as error:
            if error.kind != Kind.CALL:
                broken(error)
            self._refuse(rejected(error.call, "UNSUPPORTED", str(error)))
        except ProtocolError as error:
            broken(error)
        return True

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.HEARD:
            self.endings.heard([as_number(value) for tag, value in frame.fields if tag == Tag.HEARD])
        elif frame.kind in (Kind.CREDIT, Kind.ITEM_IN, Kind.END_IN):
            call = self.running.get(frame.call)
            if call is not None and not call.done:
                self._further(call, frame)
        else:
            raise ProtocolError(f"kind {frame.kind} on the calls socket")

    def _further(self, call: Call, frame: Frame) -> None:
        if frame.kind == Kind.CREDIT:
            call.granted += frame.number(Tag.CREDIT)
        elif frame.kind == Kind.ITEM_IN:
            call.inputs.put(frame.body)
        else:
            call.inputs.end()
        call.waiter.wake()

    def _admit(self, frame: Frame) -> None:
        call = Call(frame, self.link, self.control)
        number = call.id
        if call.heard:
            self.endings.heard(call.heard)
        if number in self.running:
            raise ProtocolError(f"call {number} came twice")
        if not call.request.found or call.has_input or len(self.running) >= self.seats:
            refusal = self._refusal(call)
            if refusal is not None:
                self._refuse(refusal)
                return
        self.running[number] = call
        if self._early and number in self._early:
            call.why = self._early[number]
            call.cancelled = True
        self.start(call)

    def _refusal(self, call: Call) -> Ending | None:
        if len(self.running) >= self.seats:
            return rejected(call.id, "BUSY", f"all {self.seats} seats are taken")
        request = call.request
        name, content_type = request.name, request.content_type
        tool = self._known.get(name)
        if tool is None:
            return rejected(call.id, "UNKNOWN_TOOL", f"no tool is called {suggest(name, self.tools)}")
        found = codec(content_type)
        if found is None:
            return rejected(call.id, "BAD_CONTENT_TYPE", f"{content_type[:100]} is not understood here")
        if call.has_input and tool.signature.context is None:
            return rejected(
                call.id, "NOT_A_STREAM", f"{name} has no context, so it cannot take further inputs"
            )
        request.tool, request.codec, request.found = tool, found, True
        return None

    def _refuse(self, refusal: Ending) -> None:
        self.endings.keep(refusal)
        self.say_ending(refusal)

    def run_here(self, call: Call) -> None:
        """Runs a sync tool in the main thread."""
        call.waiter = self
        self._on_main = call
        ending = run(call, self.say_item)
        self._on_main = None
        self.settle(call, ending)
        self.say_ending(ending)

    def settle(self, call: Call, ending: Ending) -> None:
        """Whoever asks meanwhile what there is finds the call in one place, or in both."""
        if call.memo:
            ending.memo = call.memo
        self.endings.keep(ending)
        del self.running[call.id]

    def say_item(self, kind: int, call: Call, meta: bytes, body: bytes) -> None:
        self.link.say(kind, call.id, meta, body)

    def say_ending(self, ending: Ending) -> None:
        standard.flush()
        self.endings.say(ending)


class Solo(Serving):
    """One seat, no async tool: the main thread reads a call, runs it, and answers. Nothing is handed over."""

    start = Serving.run_here

    def serve(self) -> None:
        while not self.draining:
            self.wait()
        while self.read_one():  # what was sent before the drain
            pass
