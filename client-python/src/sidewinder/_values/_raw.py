"""`application/octet-stream`: bytes are bytes."""

from __future__ import annotations

from ._codec import UnencodableError, kind_of


class Raw:
    between = b""

    def decode(self, body: bytes) -> object:
        return body

    def encode(self, value: object) -> bytes:
        if isinstance(value, bytes):
            return value
        if isinstance(value, (bytearray, memoryview)):
            return bytes(value)
        raise UnencodableError(f"application/octet-stream carries bytes, not {kind_of(value)}")

    def gather(self, items: bytes | bytearray, count: int) -> bytes:
        del count
        return bytes(items)


RAW = Raw()
