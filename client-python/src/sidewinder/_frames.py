"""Bytes and frames: what one datagram between the daemon and a worker says.

    version u8 │ kind u8 │ flags u16 │ meta length u32 │ call u64 │ piece u32 │ 0 u32 │ meta │ body

Pure: no socket is owned here. Whatever arrives is either a frame or a `ProtocolError`, never another
exception. What the frames mean is written in proto/WORKER.md; the golden frames beside it pin every byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

VERSION = 1
MAX_FRAME = 128 * 1024

HEADER = struct.Struct("<BBHIQII")
_HEADER_SIZE = HEADER.size
_header_of = HEADER.unpack_from
_FIELD = struct.Struct("<HI")
_FIELD_SIZE = _FIELD.size
_field_at = _FIELD.unpack_from
_NUMBER = struct.Struct("<Q")
NUMBER_MAX = 2**64 - 1

MORE = 1
INPUT = 2
_FLAGS = MORE | INPUT

# A field with this bit changes what the frame means: who does not know it must not act on the frame.
CRITICAL = 0x8000


class Kind:
    """What a frame is about. The daemon's are below 64, the worker's above."""

    CALL, ITEM_IN, END_IN, CREDIT, HEARD = 1, 2, 3, 4, 5
    WELCOME, PING, CANCEL, DRAIN, RESYNC, DUMP = 33, 34, 35, 36, 37, 38
    ANSWER, ITEM, END, RAISED, REJECTED, WANT = 65, 66, 67, 68, 69, 70
    HELLO, READY, UNFIT, PONG, LOG, PROGRESS, HEARTBEAT, STACKS = range(97, 105)
    PRELOADED, UNFORKABLE = 105, 106
    RUNS, KEEPS, RESYNCED = range(107, 110)


class Tag:
    """The names of the fields in a frame's meta."""

    TOOL, CONTENT_TYPE, DEADLINE, METADATA, TRACEPARENT, CLIENT, CREDIT, HEARD, ATTEMPT = range(1, 10)
    TYPE, MESSAGE, TRACEBACK, NOTE, CANCELLED, REASON = range(10, 16)
    OLDEST, NEWEST, LANGUAGE, RUNTIME, PID, SEATS, PING, RESIDENT, LEVEL = range(16, 25)
    MAX_MESSAGE, POOL, LIFE = range(25, 28)
    INSTALLED, MEMO = 28, 29


Fields = tuple[tuple[int, bytes], ...]

# What is said of a call is mostly what was said of the one before. What differs comes last, in fields of one
# number each, and all that comes before is read once: a beginning that ended with a field does so wherever it
# comes again.
_NUMBER_FIELD = _FIELD_SIZE + 8
_DEADLINE_HEAD = _FIELD.pack(Tag.DEADLINE, 8)
_KNOWN_MAX = 64
_KNOWN_SIZE = 512
_known: dict[bytes, Fields] = {}


class ProtocolError(Exception):
    """The peer said something that cannot be understood."""


class UnknownFieldError(ProtocolError):
    """A field that must not be skipped. The header was readable, so a call can be refused by its id."""

    def __init__(self, tag: int, kind: int, call: int) -> None:
        super().__init__(f"field {tag:#x} is critical and unknown")
        self.kind = kind
        self.call = call


class Frame(NamedTuple):
    """One frame. `fields` keeps the order and the repetitions of the meta. The body of a piece is a view of
    the datagram, because it is copied at once to where the whole body comes together."""

    kind: int
    flags: int = 0
    call: int = 0
    piece: int = 0
    fields: Fields = ()
    body: bytes = b""

    def first(self, tag: int) -> bytes | None:
        for known, value in self.fields:
            if known == tag:
                return value
        return None

    def number(self, tag: int, default: int = 0) -> int:
        value = self.first(tag)
        return default if value is None else as_number(value)


# Without the step through Python that calling the class would take.
_new = partial(tuple.__new__, Frame)


def encode(
    kind: int,
    call: int = 0,
    meta: bytes = b"",
    body: bytes | memoryview = b"",
    flags: int = 0,
    piece: int = 0,
) -> bytes:
    """One datagram. It is the sender's fault when that is larger than a frame may be."""
    frame = b"".join((HEADER.pack(VERSION, kind, flags, len(meta), call, piece, 0), meta, body))
    if len(frame) > MAX_FRAME:
        raise ValueError(f"a frame of {len(frame)} bytes: at most {MAX_FRAME} fit")
    return frame


def head(kind: int, call: int, meta: bytes, flags: int = 0, piece: int = 0) -> bytes:
    """What comes before the body."""
    return HEADER.pack(VERSION, kind, flags, len(meta), call, piece, 0) + meta


def decode(datagram: bytes | bytearray | memoryview) -> Frame:
    """The frame in a datagram."""
    size = len(datagram)
    if size < _HEADER_SIZE:
        raise ProtocolError(f"a frame of {size} bytes: the header alone has {_HEADER_SIZE}")
    if size > MAX_FRAME:
        raise ProtocolError(f"a frame larger than {MAX_FRAME} bytes")
    version, kind, flags, length, call, piece, zero = _header_of(datagram)
    if version != VERSION:
        raise ProtocolError(f"a frame of version {version}: this is version {VERSION}")
    if flags & ~_FLAGS or zero:
        raise ProtocolError("a header with unknown flags")
    start = _HEADER_SIZE + length
    if start > size:
        raise ProtocolError(f"the meta has {length} bytes, the frame only {size - _HEADER_SIZE}")
    body = datagram[start:] if flags & MORE or piece else bytes(datagram[start:])
    if not length:
        return _new((kind, flags, call, piece, (), body))
    if piece:
        raise ProtocolError("a later piece with a meta")
    fields = _fields(bytes(datagram[_HEADER_SIZE:start]), kind, call)
    return _new((kind, flags, call, piece, fields, body))


def _fields(meta: bytes, kind: int, call: int) -> Fields:
    # Where the last number begins, or that and a deadline before it.
    last = split = len(meta) - _NUMBER_FIELD
    if split > _NUMBER_FIELD and meta.startswith(_DEADLINE_HEAD, split - _NUMBER_FIELD):
        split -= _NUMBER_FIELD
    if split <= 0:
        return _all(meta, kind, call)
    known = _known.get(meta[:split])
    if known is None:
        fields = _all(meta, kind, call)
        _learn(meta[:split], fields)
        return fields
    tag, size = _field_at(meta, last)
    if size != 8 or tag >= CRITICAL:
        return _all(meta, kind, call)
    if split == last:
        return (*known, (tag, meta[-8:]))
    return (*known, (Tag.DEADLINE, meta[split + _FIELD_SIZE : last]), (tag, meta[-8:]))


def _learn(beginning: bytes, fields: Fields) -> None:
    at, size = 0, len(beginning)
    if size > _KNOWN_SIZE:
        return
    for count, (_, value) in enumerate(fields, 1):
        at += _FIELD_SIZE + len(value)
        if at == size:
            if len(_known) >= _KNOWN_MAX:
                _known.clear()
            _known[beginning] = fields[:count]
            return


def _all(meta: bytes, kind: int, call: int) -> Fields:
    fields = []
    at, end = 0, len(meta)
    try:
        while at < end:
            tag, length = _field_at(meta, at)
            start = at + _FIELD_SIZE
            at = start + length
            if at > end:
                raise ProtocolError(f"field {tag:#x} is longer than its meta")
            if tag >= CRITICAL:
                raise UnknownFieldError(tag, kind, call)
            fields.append((tag, meta[start:at]))
    except struct.error:
        raise ProtocolError("a meta that ends in the middle of a field") from None
    return tuple(fields)


def meta(fields: Iterable[tuple[int, int | str | bytes]]) -> bytes:
    """The bytes of some fields: numbers have eight bytes, text is UTF-8."""
    return b"".join(field(tag, value) for tag, value in fields)


def field(tag: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        value = _NUMBER.pack(value)
    elif isinstance(value, str):
        value = value.encode("utf-8", "backslashreplace")
    return _FIELD.pack(tag, len(value)) + value


def as_number(value: bytes) -> int:
    if len(value) != 8:
        raise ProtocolError(f"a number of {len(value)} bytes instead of 8")
    number: int = _NUMBER.unpack(value)[0]
    return number


def as_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ProtocolError("a text that is not UTF-8") from None
