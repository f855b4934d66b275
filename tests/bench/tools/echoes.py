"""Tools that do next to nothing, so that what is measured is the way to them."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import sidewinder


@sidewinder.tool
def echo(body: bytes) -> bytes:
    """Gives back what it was given."""
    return body


@sidewinder.tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@sidewinder.tool
def count(until: bytes) -> Iterator[bytes]:
    """As many items as the number says, in decimal digits."""
    for _ in range(int(until)):
        yield b"0123456789"


@sidewinder.tool
def wait(_: bytes) -> bytes:
    """Never answers."""
    while True:
        signal.pause()
