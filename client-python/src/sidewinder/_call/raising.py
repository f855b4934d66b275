"""Exceptions are answers: what a tool raised, told in bounded fields.

Telling runs code of the author (`__str__`, notes), which may raise anything. So every part is asked for
alone, and what cannot be had is replaced by a sentence. Frames of the runtime itself are left out of
tracebacks.
"""

from __future__ import annotations

import os
import sys
import traceback
from functools import partial
from types import TracebackType
from typing import Any, Callable

from .._context import Cancelled
from .._frames import Tag, field
from .strike import meet

MAX_TRACEBACK = 32 * 1024
MAX_MESSAGE = 32 * 1024
MAX_NOTES = 16
MAX_NOTE = 2 * 1024
MAX_TYPE = 1024
MAX_LEVELS = 100
MAX_PART = 500

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_IMPORTERS = ("<frozen importlib", os.path.join("importlib", "__init__.py"))


def fields(error: BaseException, why: str | None = None) -> bytes:
    """The meta of *raised*. With `why`, the call was cancelled for that reason, and may have given up."""
    gave_up = why is not None and _is_cancellation(error)
    kind = "sidewinder.Cancelled" if gave_up else _bounded(lambda: name(error), MAX_TYPE)
    said = _bounded(lambda: str(error), MAX_MESSAGE)
    told = [
        field(Tag.TYPE, kind),
        field(Tag.MESSAGE, (said or why or "") if gave_up else said),
        traceback_field(error),
    ]
    told += [field(Tag.NOTE, note) for note in _notes(error)]
    if gave_up:
        told.append(field(Tag.CANCELLED, "1"))
    return b"".join(told)


def unfit(error: BaseException) -> bytes:
    """The meta of *unfit*."""
    message = f"{_bounded(lambda: name(error), MAX_TYPE)}: {_bounded(lambda: str(error), MAX_MESSAGE)}"
    return traceback_field(error) + field(Tag.MESSAGE, message)


def traceback_field(error: BaseException) -> bytes:
    """With its causes; the end of it, when it is long."""
    text = _attempt(lambda: "".join(_lines(error)), "the traceback could not be made")
    said = text.encode("utf-8", "backslashreplace")
    if len(said) > MAX_TRACEBACK:
        said = ("…\n" + said[8 - MAX_TRACEBACK :].decode("utf-8", "ignore")).encode()
    return field(Tag.TRACEBACK, said)


def name(error: BaseException) -> str:
    """As one would import it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _is_cancellation(error: BaseException) -> bool:
    # A worker without async tools does without asyncio, which takes longer to import than all the rest.
    asyncio = sys.modules.get("asyncio")
    return isinstance(error, Cancelled) or (asyncio is not None and isinstance(error, asyncio.CancelledError))


def _lines(error: BaseException) -> Any:
    told = traceback.TracebackException(
        type(error), error, _theirs(error.__traceback__), limit=-MAX_LEVELS, capture_locals=False
    )
    # A part is a frame, or what an exception says: a long message is not to push its own frames out.
    return (part if len(part) <= MAX_PART else f"{part[:MAX_PART]}…\n" for part in told.format())


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is not the runtime's, up to where a strike was met."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not (file.startswith((_OURS, _IMPORTERS[0])) or file.endswith(_IMPORTERS[1])):
            break
        trace = trace.tb_next
    last = trace
    while last is not None and last.tb_next is not None:
        if last.tb_next.tb_frame.f_code is meet.__code__:
            last.tb_next = None
            break
        last = last.tb_next
    return trace


def _notes(error: BaseException) -> list[str]:
    notes = _attempt(lambda: list(getattr(error, "__notes__", ()))[:MAX_NOTES], [])
    return [_bounded(partial(str, note), MAX_NOTE) for note in notes]


def _bounded(part: Callable[[], str], most: int) -> str:
    said = _attempt(part, "it could not be said")
    if not isinstance(said, str):
        return "it could not be said"
    encoded = said[:most].encode("utf-8", "backslashreplace")
    if len(encoded) <= most and len(said) <= most:
        return said
    return encoded[: most - 3].decode("utf-8", "ignore") + "…"


def _attempt(part: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return part()
    except Cancelled:
        raise
    except BaseException as error:
        if isinstance(otherwise, str):
            return f"({otherwise}: {type(error).__name__} was raised)"
        return otherwise
