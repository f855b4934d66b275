"""MessagePack in the standard library: every family of the format, with timestamps as the only extension.

Nothing is reserved ahead of what has been read, so a length that lies costs nothing. Depth is bounded on both
ways. A timestamp is an aware `datetime` in UTC; Python keeps microseconds, so finer digits are cut off. A
naive `datetime` is refused instead of being guessed.
"""

from __future__ import annotations

import struct
from datetime import datetime, timedelta, timezone

from ._codec import BadPayloadError, UnencodableError, kind_of

MAX_DEPTH = 128

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIMESTAMP = -1
_FLOAT = struct.Struct(">d")

# What follows the first byte: a number, or the length of what comes.
_NUMBERS = {
    0xCA: struct.Struct(">f"),
    0xCB: _FLOAT,
    0xCC: struct.Struct(">B"),
    0xCD: struct.Struct(">H"),
    0xCE: struct.Struct(">I"),
    0xCF: struct.Struct(">Q"),
    0xD0: struct.Struct(">b"),
    0xD1: struct.Struct(">h"),
    0xD2: struct.Struct(">i"),
    0xD3: struct.Struct(">q"),
}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_BIN = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_EXT = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXEXT = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_STR = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAY = {0xDC: 2, 0xDD: 4}
_MAP = {0xDE: 2, 0xDF: 4}


class _Reader:
    """Where the decoding is."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.body):
            raise BadPayloadError(f"not MessagePack: {end - len(self.body)} bytes are missing at the end")
        taken = self.body[self.at : end]
        self.at = end
        return taken

    def length(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def value(self, depth: int) -> object:
        first = self.take(1)[0]
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 0x100
        if first < 0x90:
            return self.map(first & 0x0F, depth)
        if first < 0xA0:
            return self.array(first & 0x0F, depth)
        if first < 0xC0:
            return self.text(first & 0x1F)
        return self.sized(first, depth)

    def sized(self, first: int, depth: int) -> object:
        if first in _STR:
            return self.text(self.length(_STR[first]))
        if first in _NUMBERS:
            number = _NUMBERS[first]
            return number.unpack(self.take(number.size))[0]
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _MAP:
            return self.map(self.length(_MAP[first]), depth)
        if first in _ARRAY:
            return self.array(self.length(_ARRAY[first]), depth)
        if first in _BIN:
            return self.take(self.length(_BIN[first]))
        if first in _FIXEXT:
            return self.extension(_FIXEXT[first])
        if first in _EXT:
            return self.extension(self.length(_EXT[first]))
        raise BadPayloadError(f"not MessagePack: no value begins with {first:#04x}")

    def text(self, size: int) -> str:
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise BadPayloadError("not MessagePack: a text that is not UTF-8") from None

    def array(self, count: int, depth: int) -> list[object]:
        deeper = self.deeper(depth)
        items = []
        for _ in range(count):
            items.append(self.value(deeper))
        return items

    def map(self, count: int, depth: int) -> dict[object, object]:
        deeper = self.deeper(depth)
        entries: dict[object, object] = {}
        for _ in range(count):
            key = self.value(deeper)
            if isinstance(key, (list, dict)):
                raise BadPayloadError("not usable: an array or a map is the key of a map")
            entries[key] = self.value(deeper)
        return entries

    def extension(self, size: int) -> datetime:
        (code,) = struct.unpack(">b", self.take(1))
        content = self.take(size)
        if code != _TIMESTAMP:
            raise BadPayloadError(f"not usable: an extension of type {code}, only timestamps are known")
        return _timestamp(content)

    @staticmethod
    def deeper(depth: int) -> int:
        if depth >= MAX_DEPTH:
            raise BadPayloadError(f"nested deeper than {MAX_DEPTH}")
        return depth + 1


def _timestamp(content: bytes) -> datetime:
    if len(content) == 4:
        nanos, seconds = 0, int.from_bytes(content, "big")
    elif len(content) == 8:
        both = int.from_bytes(content, "big")
        nanos, seconds = both >> 34, both & (2**34 - 1)
    elif len(content) == 12:
        nanos, seconds = struct.unpack(">Iq", content)
    else:
        raise BadPayloadError(f"not MessagePack: a timestamp of {len(content)} bytes")
    if nanos >= 10**9:
        raise BadPayloadError("not MessagePack: a timestamp with more than a second of nanoseconds")
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise BadPayloadError("not usable: a timestamp outside the years 1 to 9999") from None


def _write(value: object, out: list[bytes], depth: int) -> None:
    if value is None:
        out.append(b"\xc0")
    elif value is True or value is False:
        out.append(b"\xc3" if value else b"\xc2")
    elif isinstance(value, str):
        _write_text(value, out)
    elif isinstance(value, int):
        out.append(_integer(int(value)))
    elif isinstance(value, float):
        out.append(b"\xcb" + _FLOAT.pack(value))
    elif isinstance(value, (bytes, bytearray, memoryview)):
        content = bytes(value)
        out.append(_head(len(content), (), ((0xC4, 1), (0xC5, 2), (0xC6, 4))) + content)
    elif isinstance(value, datetime):
        out.append(_moment(value))
    elif isinstance(value, (dict, list, tuple)):
        if depth >= MAX_DEPTH:
            raise UnencodableError(f"the value is nested deeper than {MAX_DEPTH}, or contains itself")
        _write_nested(value, out, depth + 1)
    else:
        raise UnencodableError(f"MessagePack cannot carry a value of type {kind_of(value)}")


def _write_nested(
    value: dict[object, object] | list[object] | tuple[object, ...], out: list[bytes], depth: int
) -> None:
    if isinstance(value, dict):
        out.append(_head(len(value), (0x80, 16), ((0xDE, 2), (0xDF, 4))))
        for key, content in value.items():
            _write(key, out, depth)
            _write(content, out, depth)
    else:
        out.append(_head(len(value), (0x90, 16), ((0xDC, 2), (0xDD, 4))))
        for content in value:
            _write(content, out, depth)


def _write_text(value: str, out: list[bytes]) -> None:
    try:
        content = value.encode()
    except UnicodeEncodeError:
        raise UnencodableError("MessagePack cannot carry a text with lone surrogates") from None
    out.append(_head(len(content), (0xA0, 32), ((0xD9, 1), (0xDA, 2), (0xDB, 4))) + content)


def _head(length: int, short: tuple[int, ...], long: tuple[tuple[int, int], ...]) -> bytes:
    """The first bytes of something with a length; `short` is where small lengths hide in the first byte."""
    if short and length < short[1]:
        return bytes((short[0] | length,))
    for first, size in long:
        if length < 1 << 8 * size:
            return bytes((first,)) + length.to_bytes(size, "big")
    raise UnencodableError(f"MessagePack cannot carry {length} bytes or entries in one value")


def _integer(value: int) -> bytes:
    if -32 <= value < 128:
        return bytes((value & 0xFF,))
    if value >= 0:
        for first, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
            if value < 1 << 8 * size:
                return bytes((first,)) + value.to_bytes(size, "big")
    else:
        for first, size in ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8)):
            if value >= -(1 << 8 * size - 1):
                return bytes((first,)) + value.to_bytes(size, "big", signed=True)
    raise UnencodableError("MessagePack cannot carry an integer of more than 64 bits")


def _moment(value: datetime) -> bytes:
    if value.utcoffset() is None:
        raise UnencodableError("MessagePack cannot carry a datetime without a time zone")
    since = value - _EPOCH
    seconds, nanos = since.days * 86400 + since.seconds, since.microseconds * 1000
    if 0 <= seconds < 2**32 and not nanos:
        return b"\xd6\xff" + seconds.to_bytes(4, "big")
    if 0 <= seconds < 2**34:
        return b"\xd7\xff" + (nanos << 34 | seconds).to_bytes(8, "big")
    return b"\xc7\x0c\xff" + struct.pack(">Iq", nanos, seconds)


class MessagePack:
    between = b""

    def decode(self, body: bytes) -> object:
        reader = _Reader(body)
        value = reader.value(0)
        if reader.at != len(body):
            raise BadPayloadError(f"not MessagePack: {len(body) - reader.at} bytes follow the value")
        return value

    def encode(self, value: object) -> bytes:
        out: list[bytes] = []
        try:
            _write(value, out, 0)
        except RecursionError:
            raise UnencodableError("the value is nested too deeply for MessagePack") from None
        return b"".join(out)

    def gather(self, items: bytes | bytearray, count: int) -> bytes:
        return _head(count, (0x90, 16), ((0xDC, 2), (0xDD, 4))) + items


MSGPACK = MessagePack()
