"""What a codec is, and the two ways in which it can fail."""

from __future__ import annotations

from typing import Protocol


class BadPayloadError(ValueError):
    """These bytes are no value of their content type."""


class UnencodableError(TypeError):
    """This value cannot be said in the content type of the call."""


BadPayloadError.__module__ = UnencodableError.__module__ = "sidewinder"


class Codec(Protocol):
    """One content type. Nothing but `BadPayloadError` and `UnencodableError` is raised (and MemoryError by
    anything)."""

    def decode(self, body: bytes) -> object: ...

    def encode(self, value: object) -> bytes: ...

    between: bytes
    """What stands between encoded items."""

    def gather(self, items: bytes | bytearray, count: int) -> bytes:
        """One value of so many encoded items, which stand here one after the other."""
        ...


def kind_of(value: object) -> str:
    """The type of a value as its author calls it."""
    known = type(value)
    return (
        known.__qualname__ if known.__module__ == "builtins" else f"{known.__module__}.{known.__qualname__}"
    )
