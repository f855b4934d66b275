"""What the runtime keeps of one call: what came with it, its credit, its inputs."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from time import monotonic
from typing import Protocol

from .._context import Cancelled, Context
from .._frames import INPUT, MAX_FRAME, Frame, Kind, ProtocolError, Tag, as_number, field
from .._link import Link
from .._tools import Tool
from .._values import DEFAULT, JSON, RAW, Codec
from .._values._codec import UnencodableError
from .request import Request
from .strike import Target

WINDOW = 8
MAX_LOG = 32 * 1024
BEAT = 0.01

_ROOM = MAX_FRAME - 1024
_OF_JSON = field(Tag.CONTENT_TYPE, DEFAULT)
_HEARD, _DEADLINE, _MEMO = Tag.HEARD, Tag.DEADLINE, Tag.MEMO


class Waiter(Protocol):
    """How a tool waits for the next frame of its call."""

    def wait(self) -> None: ...

    async def arrival(self) -> None: ...

    def wake(self) -> None: ...


class Call(Target):
    """A call that runs, or is about to."""

    waiter: Waiter
    # When it came, and the time that it had then, as it was said.
    _arrived = 0.0
    _time = b""
    _trace = b""
    # What a successor of the daemon is to know of it.
    memo = b""
    spent = 0
    _mine: InputQueue | None = None
    _last_beat = 0.0

    def __init__(self, frame: Frame, link: Link, control: Link) -> None:
        _, flags, self.id, _, self.body, begun, rest = frame
        request: Request = begun.understood or Request(begun.fields)
        begun.understood = request
        self.has_input = flags & INPUT != 0
        self.heard: list[int] = []
        self._link = link
        self._control = control
        self.request = request
        for tag, value in request.own + rest if request.own else rest:
            if tag == _HEARD:
                self.heard.append(as_number(value))
            elif tag == _DEADLINE:
                self._arrived, self._time = monotonic(), value
                if len(value) != 8:
                    as_number(value)  # says so
            elif tag == _MEMO:
                self.memo = value
            else:
                self._trace = value
        self.granted = request.granted

    @property
    def tool(self) -> Tool:
        return self.request.tool

    @property
    def codec(self) -> Codec:
        return self.request.codec

    @property
    def streams(self) -> bool:
        return self.request.granted > 0

    # What the context shows, read when it is asked for.

    @property
    def traceparent(self) -> str | None:
        return self._trace.decode("utf-8", "replace") or None

    @property
    def client(self) -> str | None:
        return self.request.client

    @property
    def attempt(self) -> int:
        return self.request.attempt

    @property
    def metadata(self) -> dict[str, str]:
        return self.request.metadata

    @property
    def deadline(self) -> float | None:
        return self._arrived + as_number(self._time) / 1e6 if self._time else None

    @property
    def inputs(self) -> InputQueue:
        if self._mine is None:
            self._mine = InputQueue(self)
        return self._mine

    def context(self) -> Context:
        return Context(self)

    def remaining(self) -> float | None:
        deadline = self.deadline
        return None if deadline is None else max(0.0, deadline - monotonic())

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled(self.why)
        if self.remaining() == 0:
            self.cancelled, self.why = True, "the deadline has passed"
            raise Cancelled(self.why)

    def log(self, message: str, level: str) -> None:
        said = str(message).encode("utf-8", "backslashreplace")[:MAX_LOG].decode("utf-8", "ignore")
        self._control.mention(Kind.LOG, self.id, field(Tag.LEVEL, level) + field(Tag.MESSAGE, said))

    def progress(self, value: object) -> None:
        codec, meta = self.codec, self.request.answers
        if codec is RAW and not isinstance(value, (bytes, bytearray, memoryview)):
            codec, meta = JSON, _OF_JSON
        body = codec.encode(value)
        if len(body) > _ROOM:
            raise ValueError(f"a progress of {len(body)} bytes: at most {_ROOM} fit")
        self._control.mention(Kind.PROGRESS, self.id, meta, body)

    def heartbeat(self) -> None:
        now = monotonic()
        if now - self._last_beat >= BEAT:
            self._last_beat = now
            self._control.mention(Kind.HEARTBEAT, self.id, b"")

    # What the runtime does with it.

    def begin(self, thread: int) -> None:
        """The tool is about to run in this thread."""
        self.thread = thread
        if self.cancelled and not self.struck:
            self.struck = True
            raise Cancelled(self.why)

    def encode(self, value: object) -> bytes:
        body = self.request.codec.encode(value)
        if len(body) > self._link.max_message:
            self.fits(len(body))  # says so
        return body

    def fits(self, size: int) -> None:
        if size > self._link.max_message:
            raise TooLargeError(f"the answer has {size} bytes: at most {self._link.max_message} may be sent")

    @property
    def credit(self) -> int:
        # Two counters, each with one writer, because the thread that reads grants and the tool's thread
        # spends.
        return self.granted - self.spent

    def pay(self) -> None:
        while self.credit <= 0:
            self.shelter(self.waiter.wait)
        self.spent += 1

    async def pay_async(self) -> None:
        while self.credit <= 0:
            await self.waiter.arrival()
        self.spent += 1

    def ask(self, items: int) -> None:
        self._link.say(Kind.WANT, self.id, field(Tag.CREDIT, items))


class TooLargeError(UnencodableError):
    """The answer does not fit in what the daemon takes."""


TooLargeError.__module__ = "sidewinder"


class InputQueue:
    """Further inputs, at most WINDOW ahead of the tool. The daemon sends only what was asked for."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._bodies: deque[bytes] = deque()
        self._asked = 0
        self._came = 0
        self._taken = 0
        self._ended = not call.has_input

    def put(self, body: bytes) -> None:
        self._came += 1
        if self._ended or self._came > self._asked:
            raise ProtocolError(f"call {self._call.id} got an input that it did not ask for")
        self._bodies.append(body)

    def end(self) -> None:
        self._ended = True

    def __iter__(self) -> Iterator[object]:
        if self._call.tool.asynchronous:
            raise TypeError("this tool is async: use `async for`")
        return self

    def __next__(self) -> object:
        self._ask()
        while not self._bodies:
            if self._ended:
                raise StopIteration
            self._call.shelter(self._call.waiter.wait)
        return self._take()

    def __aiter__(self) -> AsyncIterator[object]:
        if not self._call.tool.asynchronous:
            raise TypeError("this tool is not async: use `for`")
        return self

    async def __anext__(self) -> object:
        self._ask()
        while not self._bodies:
            if self._ended:
                raise StopAsyncIteration
            await self._call.waiter.arrival()
        return self._take()

    def _ask(self) -> None:
        ahead = self._asked - self._taken
        if not self._ended and ahead <= WINDOW // 2:
            self._asked += WINDOW - ahead
            self._call.ask(WINDOW - ahead)

    def _take(self) -> object:
        self._taken += 1
        return self._call.codec.decode(self._bodies.popleft())
