"""Tools that end badly, one way each."""

from __future__ import annotations

import sys
from typing import Any

import sidewinder


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise SystemExit("even the message is a trap")


@sidewinder.tool
def raises() -> None:
    error = ValueError("not this value: \ud800")
    error.__notes__ = ["a note", "another"]  # type: ignore[attr-defined]
    raise error


@sidewinder.tool
def causes() -> None:
    try:
        raise KeyError("key")
    except KeyError as error:
        raise RuntimeError("because of it") from error


@sidewinder.tool
def unprintable() -> None:
    raise UnprintableError


@sidewinder.tool
def huge_message() -> None:
    raise ValueError("é" * 10_000_000)


@sidewinder.tool
def exits() -> None:
    sys.exit(7)


@sidewinder.tool
def interrupts() -> None:
    raise KeyboardInterrupt


@sidewinder.tool
def recurses() -> None:
    recurses()


@sidewinder.tool
def allocates() -> None:
    bytearray(1 << 62)


@sidewinder.tool
def stops() -> None:
    raise StopIteration("as if nothing more came")


@sidewinder.tool
def returns_set() -> Any:
    return {1}


@sidewinder.tool
def returns_bytes() -> bytes:
    return b"x"


@sidewinder.tool
def returns_itself() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@sidewinder.tool
def returns_coroutine() -> Any:
    async def inner() -> None: ...

    return inner()


@sidewinder.tool
def yields_set() -> Any:
    yield 1
    yield {1}


@sidewinder.tool
def gives_up() -> None:
    raise sidewinder.Cancelled("of its own accord")


@sidewinder.tool
def fine() -> str:
    return "fine"
