"""What every way to call can do, whoever is called."""

from __future__ import annotations

from typing import Protocol


class CallFailedError(Exception):
    """What the caller got instead of an answer, in a few words."""


class Hanging(Protocol):
    """A call that has begun."""

    def answer(self, seconds: float) -> bytes:
        """Waits for its answer; raises CallFailedError."""

    def hang_up(self) -> None:
        """Leaves as a client leaves."""


class Caller(Protocol):
    """A client of one standing peer."""

    def begin(self, body: bytes) -> Hanging:
        """Asks, and does not wait; raises CallFailedError."""

    def close(self) -> None:
        """Lets go of connections."""


def call(caller: Caller, body: bytes, seconds: float) -> bytes:
    """Asks, and waits. Whoever has waited for so long leaves."""
    hanging = caller.begin(body)
    try:
        return hanging.answer(seconds)
    finally:
        hanging.hang_up()
