"""What a running tool may know about its call, and say while it runs.

A `Context` is a view of the call that the runtime keeps; it holds nothing of its own. A tool gets it by a
parameter annotated `sidewinder.Context` (or named `ctx`), and everything below the tool gets it with
`sidewinder.current()`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import ContextVar
from typing import Literal, Protocol

Level = Literal["debug", "info", "warning", "error"]
LEVELS = ("debug", "info", "warning", "error")


class Cancelled(BaseException):
    """Nobody waits for this call any more.

    Raised inside the tool, wherever it is. Not an `Exception`, so that `except Exception` lets it through;
    clean up in `finally`. Async tools see `asyncio.CancelledError` instead, as everywhere in asyncio.
    """


class Inputs(Protocol):
    """The further inputs of a call, decoded. Sync tools use `for`, async tools use `async for`."""

    def __iter__(self) -> Iterator[object]: ...

    def __aiter__(self) -> AsyncIterator[object]: ...


class Running(Protocol):
    """What the runtime knows about a call."""

    id: int
    cancelled: bool

    @property
    def deadline(self) -> float | None: ...

    @property
    def traceparent(self) -> str | None: ...

    @property
    def client(self) -> str | None: ...

    @property
    def attempt(self) -> int: ...

    @property
    def metadata(self) -> Mapping[str, str]: ...

    @property
    def inputs(self) -> Inputs: ...

    def remaining(self) -> float | None: ...

    def check(self) -> None: ...

    def log(self, message: str, level: str) -> None: ...

    def progress(self, value: object) -> None: ...

    def heartbeat(self) -> None: ...


class Context:
    """The call that a tool runs for."""

    __slots__ = ("_call",)

    def __init__(self, call: Running) -> None:
        self._call = call

    @property
    def call(self) -> int:
        """The number of this call, unique within the life of this worker."""
        return self._call.id

    @property
    def deadline(self) -> float | None:
        """When the caller stops waiting, on the clock of `time.monotonic()`."""
        return self._call.deadline

    def remaining(self) -> float | None:
        """Seconds until the deadline, never below zero; None without one."""
        return self._call.remaining()

    @property
    def cancelled(self) -> bool:
        """Whether this call was cancelled."""
        return self._call.cancelled

    def check(self) -> None:
        """Raises `Cancelled` when the call was cancelled or its deadline has passed."""
        self._call.check()

    def log(self, message: str, level: Level = "info") -> None:
        """Says something to whoever reads the worker's logs. Never blocks: dropped when nobody reads."""
        if level not in LEVELS:
            raise ValueError(f"no level {level!r}: one of {', '.join(LEVELS)}")
        self._call.log(message, level)

    def progress(self, value: object) -> None:
        """Says how far the call has come. Never blocks; one frame is the most that it can carry."""
        self._call.progress(value)

    def heartbeat(self) -> None:
        """Says that the call still makes progress."""
        self._call.heartbeat()

    @property
    def inputs(self) -> Inputs:
        """Further inputs, for a call that streams to the tool. Empty for any other."""
        return self._call.inputs

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the caller sent along, by name. Several values of one name are joined with commas."""
        return self._call.metadata

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context of the call."""
        return self._call.traceparent

    @property
    def attempt(self) -> int:
        """1 for the first try of this call."""
        return self._call.attempt

    @property
    def client(self) -> str | None:
        """Who calls."""
        return self._call.client


Context.__module__ = Cancelled.__module__ = "sidewinder"

RUNNING: ContextVar[Running] = ContextVar("sidewinder.running")


def current() -> Context:
    """The context of the tool that is running here."""
    call = RUNNING.get(None)
    if call is None:
        raise RuntimeError("no tool is running here")
    return Context(call)


current.__module__ = "sidewinder"
