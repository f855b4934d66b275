"""Running one tool for one call: from its payload to its ending, whatever happens in between.

There is an ending for everything. What cannot reach the tool is *rejected*; what comes out of it is an
answer, an end, or *raised*; and when a cancellation arrives so late that it hits the runtime, the call ends
with that.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from threading import get_ident
from typing import Any, Callable

from .._context import RUNNING
from .._frames import Kind, Tag, field
from .._signature import BadArgumentsError, Bound
from .._values import BadPayloadError
from . import raising
from .call import Call
from .endings import Ending

# Types of which no instance is an iterator: most answers are one of them.
_PLAIN = frozenset((dict, list, str, int, float, bool, bytes, tuple, type(None)))
_MAX_ROUNDS = 4
_ANSWER = Kind.ANSWER

Say = Callable[[int, Call, bytes, bytes], None]


def run(call: Call, say: Say) -> Ending:
    """Attempts a call of a sync tool, in the thread that is to run it. Nothing is raised."""
    ending: Ending | None = None
    error: BaseException | None = None
    for _ in range(
        _MAX_ROUNDS
    ):  # a call is struck at most once by each of two means; memory may fail besides
        try:
            if ending is None:
                ending = raised(call, error) if error else copy_context().run(_attempt, call, say)
            call.settle()
            return ending
        except BaseException as late:
            error = late
    return ending or Ending(Kind.RAISED, call.id, field(Tag.TYPE, "sidewinder.Untellable"))


def rejected(call: int, reason: str, message: str) -> Ending:
    shown = message if len(message) <= 1024 else message[:1024] + "…"
    return Ending(Kind.REJECTED, call, field(Tag.REASON, reason) + field(Tag.MESSAGE, shown))


def raised(call: Call, error: BaseException) -> Ending:
    return Ending(Kind.RAISED, call.id, raising.fields(error, call.why if call.cancelled else None))


class _RejectedError(Exception):
    """The tool was not reached."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


def _bind(call: Call) -> Bound:
    body, call.body = call.body, b""
    request = call.request
    try:
        return request.tool.signature.bind(request.codec, body, call.context)
    except BadPayloadError as error:
        raise _RejectedError(rejected(call.id, "BAD_PAYLOAD", str(error))) from None
    except BadArgumentsError as error:
        raise _RejectedError(rejected(call.id, "BAD_ARGUMENTS", str(error))) from None


def _attempt(call: Call, say: Say) -> Ending:
    try:
        RUNNING.set(call)
        call.begin(get_ident())
        args, named = _bind(call)
        value = call.request.tool.function(*args, **named)
        if type(value) in _PLAIN:
            return _single(call, value, say)
        if isinstance(value, Iterator):
            return _stream(call, value, say) if call.streams else _collect(call, value)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError("the tool returned a coroutine: declare it with `async def`")
        return _single(call, value, say)
    except _RejectedError as error:
        return error.ending
    except BaseException as error:
        return raised(call, error)


def _answer(call: Call, body: bytes) -> Ending:
    return Ending(Kind.ANSWER, call.id, call.request.answers, body)


def _single(call: Call, value: object, say: Say) -> Ending:
    body = call.encode(value)
    request = call.request
    if not request.granted:
        return Ending(_ANSWER, call.id, request.answers, body)
    call.pay()
    say(Kind.ITEM, call, request.answers, body)
    return Ending(Kind.END, call.id)


def _stream(call: Call, values: Iterator[object], say: Say) -> Ending:
    meta = call.request.answers
    try:
        for value in values:
            body = call.encode(value)
            call.pay()
            say(Kind.ITEM, call, meta, body)
    finally:
        _close(values)
    return Ending(Kind.END, call.id)


class _Gathered:
    """The items of a generator for a caller that wants one answer, bounded while they come."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._items = bytearray()
        self._count = 0

    def add(self, value: object) -> None:
        if self._count:
            self._items += self._call.codec.between
        self._items += self._call.codec.encode(value)
        self._count += 1
        self._call.fits(len(self._items))

    def answer(self) -> Ending:
        body = self._call.codec.gather(self._items, self._count)
        self._call.fits(len(body))
        return _answer(self._call, body)


def _collect(call: Call, values: Iterator[object]) -> Ending:
    gathered = _Gathered(call)
    try:
        for value in values:
            gathered.add(value)
    finally:
        _close(values)
    return gathered.answer()


def _close(values: Any) -> None:
    close = getattr(values, "close", None)
    if close is not None and inspect.isgenerator(values):
        close()


async def attempt_async(call: Call, say: Callable[[int, Call, bytes, bytes], Any]) -> Ending:
    """The same for an async tool, in its task. `say` is awaited."""
    try:
        RUNNING.set(call)
        call.begin(get_ident())
        args, named = _bind(call)
        value = call.request.tool.function(*args, **named)
        if isinstance(value, AsyncIterator):
            return await _stream_async(call, value, say)
        body = call.encode(await value)
        if not call.streams:
            return _answer(call, body)
        await call.pay_async()
        await say(Kind.ITEM, call, call.request.answers, body)
        return Ending(Kind.END, call.id)
    except _RejectedError as error:
        return error.ending
    except BaseException as error:
        return raised(call, error)


async def _stream_async(call: Call, values: Any, say: Callable[[int, Call, bytes, bytes], Any]) -> Ending:
    meta = call.request.answers
    gathered = _Gathered(call)
    try:
        async for value in values:
            if call.streams:
                body = call.encode(value)
                await call.pay_async()
                await say(Kind.ITEM, call, meta, body)
            else:
                gathered.add(value)
    finally:
        if hasattr(values, "aclose"):
            await values.aclose()
    return Ending(Kind.END, call.id) if call.streams else gathered.answer()
